{{- define "udamon.labels" -}}
app.kubernetes.io/name: udamon-agent
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "udamon.metadata" -}}
name: {{ .Release.Name }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "udamon.labels" . | nindent 2 }}
  app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}
