{{/* Python files as volumes, of gateways and of runtimes: out of the values, of other ConfigMaps, and of a bundle. */}}

{{/* Of `processes` values. */}}
{{- define "penstock.pythonInChart" -}}
{{- if or .files .configMaps }}true{{ end }}
{{- end }}

{{/* (dict "processes" PROCESSES "bundle" BUNDLE) */}}
{{- define "penstock.pythonPath" -}}
{{- $folders := list }}
{{- if include "penstock.pythonInChart" .processes }}{{ $folders = append $folders "/etc/penstock/python" }}{{ end }}
{{- if and .bundle.image .bundle.python }}{{ $folders = append $folders "/bundle/python" }}{{ end }}
{{- join ":" $folders }}
{{- end }}

{{- define "penstock.pythonMounts" -}}
{{- if include "penstock.pythonInChart" . }}
- {name: python, mountPath: /etc/penstock/python, readOnly: true}
{{- end }}
{{- end }}

{{/* (dict "processes" PROCESSES "name" NAME): the ConfigMap of that name has the values' files. */}}
{{- define "penstock.pythonVolumes" -}}
{{- if include "penstock.pythonInChart" .processes }}
- name: python
  projected:
    sources:
      {{- if .processes.files }}
      - configMap: {name: {{ .name }}, items: {{- include "penstock.items" .processes.files | nindent 10 }}}
      {{- end }}
      {{- range .processes.configMaps }}
      - configMap: {name: {{ . }}}
      {{- end }}
{{- end }}
{{- end }}
