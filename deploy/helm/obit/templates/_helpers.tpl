{{/* What selects the monitor's pods; never changes, since a DaemonSet's selector may not. */}}
{{- define "obit.selector" -}}
app.kubernetes.io/name: obit
app.kubernetes.io/component: monitor
{{- end }}

{{/* On everything. */}}
{{- define "obit.labels" -}}
{{ include "obit.selector" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The image, by digest where there is one. */}}
{{- define "obit.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* Whether Kubernetes is watched: auto, on or off; YAML takes the latter two for truth values. */}}
{{- define "obit.kubernetes" -}}
{{- if kindIs "bool" .Values.kubernetes }}{{ ternary "on" "off" .Values.kubernetes }}{{ else }}{{ .Values.kubernetes }}{{ end -}}
{{- end }}
