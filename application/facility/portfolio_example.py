"""An example of a portfolio file, with comments: what `gridproof facilities example` prints."""

FACILITY_IDS = ("fac-001", "fac-002")
_EXAMPLE = """\
# A portfolio: what `gridproof facilities import FILE` reads. Every field: docs/guides/portfolio.md.
# A field in a comment has the value that it has when it is left out, unless the comment says otherwise.
# Ids are small letters, digits, "-" and "_", and never change. What a later file leaves out stays as it is.

utilities:                              # who posts DR events, and receives callbacks
  - utility_id: city-power
    name: City Power
    # Secrets are never in this file: a reference names an environment variable GRIDPROOF_SECRET_..., or a file
    # in the folder of secrets (file:/...). Without one, calls are not signed.
    # webhook_secret_ref: "env:GRIDPROOF_SECRET_WEBHOOK_CITY"     # no default
    # callback_secret_ref: "env:GRIDPROOF_SECRET_CALLBACK_CITY"   # no default

programs:                               # the terms of a utility's contract; changed terms are a new version
  - program_id: summer-peak
    utility_id: city-power
    # rank: 1                           # between utilities the lower number wins
    # baseline_method: caiso-10-in-10   # or, with parameters, instead:
    baseline: {method: x-of-y, parameters: {x: 8, y: 10, pick: mid, adjustment: multiplicative, cap: 0.5}}
    # holidays: [2026-07-03]            # without it: the public holidays of each facility's region
    # clip_delivery: false              # true: a delivery below 0 kW counts as 0
    window:                             # without it: a DR event may take place at any time
      hours: {from: "12:00", to: "22:00"}       # in the local time of each facility
      days: [mon, tue, wed, thu, fri]
      # on_holidays: true
      # season: {from: "05-01", to: "10-31"}    # no default: the whole year
    # notification_lead_s: 600          # shortest time from the notification to the start
    # maximum_lead_s: 172800            # longest; no default
    # prepare_lead_s: 600               # how long before the start the buildings are prepared
    # minimum_duration_s: 900
    # maximum_duration_s: 14400
    # acceptable_share: 0.8             # with less capacity than this share of its target a DR event is refused
    # shortfall_policy: continue        # when a facility fails: continue, reallocate or abort
    forecast_guardrail: accept_no_weather       # block is the default: without weather nothing is dispatched then
    # two_phase: true
    # rate_per_kw: "0"                  # for information; money is settled by `settlement`
    # rate_per_kwh: "0"
    settlement:                         # without it: nothing is settled in money
      currency: USD
      energy: {rate: "0.35"}            # per kWh; amounts and ratios are decimals in quotes

facilities:
  - facility_id: fac-001
    tz: America/Los_Angeles             # UTC where it is left out
    latitude: 34.05                     # both or neither: without them its weather cell gets no weather by them
    longitude: -118.24
    weather_cell: los-angeles           # neighbours share a cell; "default" where it is left out
    region: US-CA                       # whose public holidays apply; without it: those of its time zone's country
    # in_force_from: 2026-05-01         # from when a changed tz, weather_cell or region holds; without it: today
    meters:
      - meter_id: main
    zones:
      - zone_id: offices                # cooled: the setpoint is raised
        curtailable_kw: 40
        # strategy: setpoint_offset     # or shed_level
        # max_magnitude: 3.0            # K, or % of a shed_level; it gives all of curtailable_kw
        # comfort_limit_c: 28.0
        # lower_comfort_limit_c: 18     # required where max_magnitude is below 0 (a heated zone); no default
        # minimum_off_s: 0
        # longest_curtailment_s: 14400
        # rebound_ramp_s: 300
      - {zone_id: hall, curtailable_kw: 25, max_magnitude: 2.0, comfort_limit_c: 27.0}
    bms:
      address: "@fac-001@"
      # profile: two_phase              # or two_phase_no_dedup, single_phase
      # credentials_ref: "env:GRIDPROOF_SECRET_BMS_NORTH"     # no default
      # soap_traceparent: false         # true: SOAP envelopes name the trace in a header
    programs:
      - {program_id: summer-peak, kw: 60}       # or just: summer-peak
      # level_kw of an enrolment is the facility's own level of the baseline firm-service-level
    groups: [north]                     # labels of your own
    # dr_events_per_day: 2
    # dr_events_per_season: 40
    # longest_dr_event_s: 14400
    # notification_lead_s: 0            # the notice that the facility itself wants
  - facility_id: fac-002
    tz: America/Los_Angeles
    weather_cell: los-angeles
    meters: [{meter_id: main}]
    zones: [{zone_id: store, curtailable_kw: 30}]
    bms: {address: "@fac-002@"}
    programs: [summer-peak]
"""


def portfolio_example(*, bms_address: str = "https://bms.example/{facility_id}") -> str:
    """The YAML of a valid portfolio: one utility, one program, and two facilities (`fac-001`, `fac-002`), each with the
    meter `main`.

    `bms_address`: the addresses of their BMSs, with `{facility_id}` in place of the id.
    """
    text = _EXAMPLE
    for facility_id in FACILITY_IDS:
        text = text.replace(f"@{facility_id}@", bms_address.replace("{facility_id}", facility_id))
    return text
