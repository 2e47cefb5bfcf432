{{/* Names and labels. With what is added to a name it is short enough for a CronJob (52). */}}

{{- define "gridproof.name" -}}
{{- if contains "gridproof" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-gridproof" (.Release.Name | trunc 30 | trimSuffix "-") }}{{ end }}
{{- end }}

{{/* The pods of the release; with `component` (of a dict with root and component) those of one process. */}}
{{- define "gridproof.selector" -}}
app.kubernetes.io/name: gridproof
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{- define "gridproof.labels" -}}
{{ include "gridproof.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* `lean` or `full` of a dict with root and image. */}}
{{- define "gridproof.image" -}}
{{- $image := index .root.Values.images .image -}}
{{- if $image.digest }}{{ printf "%s@%s" $image.repository $image.digest }}{{ else }}{{ printf "%s:%s" $image.repository ($image.tag | default .root.Chart.AppVersion) }}{{ end }}
{{- end }}

{{/* How many of a process run at most: of a dict with root and process. */}}
{{- define "gridproof.most" -}}
{{- $process := index .root.Values.processes .process -}}
{{- if and .root.Values.autoscaling.enabled (hasKey $process "maxReplicas") }}{{ $process.maxReplicas }}{{ else }}{{ $process.replicas }}{{ end }}
{{- end }}

{{/* Refuses values with which all processes could open more sessions than PostgreSQL allows (ADR 0088, ADR 0115).
     A rollout has one more of each for a while; one command of a person runs beside them. */}}
{{- define "gridproof.checkConnections" -}}
{{- $about := .Files.Get "files/processes.yaml" | fromYaml -}}
{{- $total := add .Values.connections.reserved (mul 2 $about.commands.migrate.sessions) -}}
{{- range $name, $process := $about.processes -}}
{{- $most := include "gridproof.most" (dict "root" $ "process" $name) | int -}}
{{- if $most }}{{ $total = add $total (mul (add $most 1) $process.sessions) }}{{ end -}}
{{- end -}}
{{- if gt (int $total) (int .Values.connections.maxConnections) -}}
{{- fail (printf "all processes together may open %d sessions of PostgreSQL, and connections.maxConnections is %d: run fewer, or raise max_connections of the server and then this value (docs/guides/kubernetes.md, Connections)" (int $total) (int .Values.connections.maxConnections)) -}}
{{- end -}}
{{- if gt (int .Values.mqtt.sessions) (include "gridproof.most" (dict "root" . "process" "ingest") | int) -}}
{{- fail (printf "mqtt.sessions is %d and only %d ingest processes run: nobody would read the rest of the feed in time; raise processes.ingest.replicas" (int .Values.mqtt.sessions) (include "gridproof.most" (dict "root" . "process" "ingest") | int)) -}}
{{- end -}}
{{- range $name, $process := .Values.processes -}}
{{- if and (hasKey $process "maxReplicas") (lt (int $process.maxReplicas) (int $process.replicas)) -}}
{{- fail (printf "processes.%s.maxReplicas is below its replicas: raise it" $name) -}}
{{- end -}}
{{- end -}}
{{- end }}
