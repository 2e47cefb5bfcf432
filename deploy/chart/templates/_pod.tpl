{{/* What every pod has in common. Each template takes a dict with root, name, and `about` of files/processes.yaml. */}}

{{- define "gridproof.secretVariable" -}}
- name: {{ .variable }}
  valueFrom: {secretKeyRef: {name: {{ .from.name | quote }}, key: {{ .from.key | quote }}}}
{{- end }}

{{/* Settings, addresses and secrets of one process, and of no other. */}}
{{- define "gridproof.env" -}}
{{- $secrets := .root.Values.secrets -}}
{{- $scoped := (.root.Files.Get "files/processes.yaml" | fromYaml).scopedAddresses -}}
- {name: GRIDPROOF_DATA_DIR, value: /var/lib/gridproof}
{{- if eq .name "web" }}
- {name: GRIDPROOF_HTTP_BIND, value: "0.0.0.0:8080"}
- {name: GRIDPROOF_HTTP_METRICS_BIND, value: "0.0.0.0:9129"}
{{- else if eq .name "ingest" }}
- {name: GRIDPROOF_MQTT_SESSIONS, value: {{ .root.Values.mqtt.sessions | quote }}}
{{- end }}
{{- if ne .name "web" }}
- {name: GRIDPROOF_WORKER_METRICS_BIND, value: "0.0.0.0:9129"}
{{- end }}
- {name: GRIDPROOF_NATS_REPLICAS, value: {{ .root.Values.nats.replicas | quote }}}
{{- range $setting, $value := .root.Values.settings }}
- {name: {{ $setting }}, value: {{ $value | quote }}}
{{- end }}
{{ include "gridproof.secretVariable" (dict "variable" "GRIDPROOF_DATABASE_URL" "from" (dict "name" $secrets.database.name "key" (index $secrets.database.keys .about.role))) }}
{{- if eq .name "migrate" }}
{{ include "gridproof.secretVariable" (dict "variable" "GRIDPROOF_MIGRATION_DATABASE_URL" "from" (dict "name" $secrets.database.name "key" $secrets.database.keys.owner)) }}
{{- end }}
{{- range $setting, $from := $secrets.addresses }}
{{- if or (not (hasKey $scoped $setting)) (has (get $scoped $setting) $.about.reaches) }}
{{ include "gridproof.secretVariable" (dict "variable" $setting "from" $from) }}
{{- end }}
{{- end }}
{{- range $setting, $from := $secrets.references }}
{{- $variable := $setting | replace "GRIDPROOF_" "VALUE_OF_" }}
- {name: {{ $setting }}, value: "env:{{ $variable }}"}
{{- if has $setting $.about.reads }}
{{ include "gridproof.secretVariable" (dict "variable" $variable "from" $from) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "gridproof.pod" -}}
automountServiceAccountToken: false
# A Service named gridproof-web would become a variable with the prefix of the settings, which is none and is refused.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . | quote }}
{{- end }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - {name: data, emptyDir: {sizeLimit: 512Mi}}
  - {name: tmp, emptyDir: {sizeLimit: 256Mi}}
{{- if and (eq .name "web") .root.Values.secrets.ledgerPublicKey.name }}
  - name: ledger-public-key
    secret:
      secretName: {{ .root.Values.secrets.ledgerPublicKey.name | quote }}
      items: [{key: {{ .root.Values.secrets.ledgerPublicKey.key | quote }}, path: ledger.pub}]
{{- end }}
{{- range $number, $file := .root.Values.secrets.files }}
{{- if has $.name ($file.processes | default (list $.name)) }}
  - name: files-{{ $number }}
    secret: {secretName: {{ $file.name | quote }}, defaultMode: 0440}
{{- end }}
{{- end }}
{{- end }}

{{- define "gridproof.container" -}}
name: {{ .name }}
image: {{ include "gridproof.image" (dict "root" .root "image" .about.image) | quote }}
imagePullPolicy: {{ .root.Values.images.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities: {drop: [ALL]}
env:
  {{- include "gridproof.env" . | nindent 2 }}
{{- with get .root.Values.secrets.portfolio (.about.portfolioSecrets | default "") }}
envFrom:
  - secretRef: {name: {{ . | quote }}}
{{- end }}
resources: {{- toYaml .resources | nindent 2 }}
volumeMounts:
  - {name: data, mountPath: /var/lib/gridproof}
  - {name: tmp, mountPath: /tmp}
{{- if and (eq .name "web") .root.Values.secrets.ledgerPublicKey.name }}
  - {name: ledger-public-key, mountPath: /var/lib/gridproof/ledger.pub, subPath: ledger.pub, readOnly: true}
{{- end }}
{{- range $number, $file := .root.Values.secrets.files }}
{{- if has $.name ($file.processes | default (list $.name)) }}
  - {name: files-{{ $number }}, mountPath: {{ $file.mountPath | quote }}, readOnly: true}
{{- end }}
{{- end }}
{{- end }}
