{{- define "penstock.claim" -}}
accessModes: {{ toJson .accessModes }}
{{- if eq .storageClass "-" }}
storageClassName: ""
{{- else if .storageClass }}
storageClassName: {{ .storageClass }}
{{- end }}
resources:
  requests: {storage: {{ .size }}}
{{- end }}
