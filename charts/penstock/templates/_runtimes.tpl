{{/* The runtimes of the release, and what its gateways know of them. */}}

{{/* {NAME: {name, part, full, at}} as JSON; `at` are its values over `runtimeDefaults`, `full` is the name of its objects,
`part` its own component label: a selector of one matches no pod of another. */}}
{{- define "penstock.runtimes" -}}
{{- $found := dict }}
{{- range $name, $given := .Values.runtimes }}
{{- $at := mergeOverwrite (deepCopy $.Values.runtimeDefaults) (deepCopy ($given | default dict)) }}
{{- $full := printf "%s-runtime-%s" (include "penstock.fullname" $ | trunc 34 | trimSuffix "-") $name }}
{{- $_ := set $found $name (dict "name" $name "part" (printf "runtime-%s" $name) "full" $full "at" $at) }}
{{- end }}
{{- toJson $found }}
{{- end }}

{{/* Whether gateways call runtimes, the chart's own or others. */}}
{{- define "penstock.callsRuntimes" -}}
{{- if or .Values.runtimes .Values.gateway.settings.runtimes }}true{{ end }}
{{- end }}

{{/* (dict "root" . "name" VARIABLE) */}}
{{- define "penstock.runtimeTokenEnv" -}}
{{- if include "penstock.callsRuntimes" .root }}
- name: {{ .name }}
  valueFrom: {secretKeyRef: {name: {{ include "penstock.credentialsName" .root }}, key: {{ .root.Values.credentials.runtimeTokenKey }}}}
{{- end }}
{{- end }}

{{/* The setting `runtimes` of gateways: the chart's own by their `order`, then those of gateway.settings. */}}
{{- define "penstock.runtimeTargets" -}}
{{- $targets := list }}
{{- $runtimes := include "penstock.runtimes" . | fromJson }}
{{- $sorted := list }}
{{- range $name, $runtime := $runtimes }}{{ $sorted = append $sorted (printf "%09d/%s" (int $runtime.at.order) $name) }}{{ end }}
{{- range sortAlpha $sorted }}
{{- $name := splitList "/" . | last }}
{{- $runtime := get $runtimes $name }}
{{- $at := $runtime.at }}
{{- $host := printf "%s.%s.svc" $runtime.full $.Release.Namespace }}
{{- $target := dict "name" $name "address" (printf "%s:%d" $host (int $at.port)) "pin" $at.pin "timeout" $at.timeout }}
{{- if $at.tls.enabled }}
{{- $tls := dict "ca" (printf "/etc/penstock/runtimes/%s/ca.crt" $name) }}
{{- with $at.tls.serverName }}{{ $_ := set $tls "server_name" . }}{{ end }}
{{- if $at.tls.clientSecretName }}
{{- $_ := set $tls "certificate" (printf "/etc/penstock/runtimes/%s/tls.crt" $name) }}
{{- $_ := set $tls "key" (printf "/etc/penstock/runtimes/%s/tls.key" $name) }}
{{- end }}
{{- $_ := set $target "tls" $tls }}
{{- end }}
{{- $targets = append $targets $target }}
{{- end }}
{{- toJson (concat $targets (.Values.gateway.settings.runtimes | default list)) }}
{{- end }}

{{/* In the gateway's pod: by what it knows runtimes with TLS, and what it shows them. */}}
{{- define "penstock.runtimeTlsMounts" -}}
{{- range $name, $runtime := include "penstock.runtimes" . | fromJson }}
{{- if $runtime.at.tls.enabled }}
- {name: runtime-{{ $name }}, mountPath: /etc/penstock/runtimes/{{ $name }}, readOnly: true}
{{- end }}
{{- end }}
{{- end }}

{{- define "penstock.runtimeTlsVolumes" -}}
{{- range $name, $runtime := include "penstock.runtimes" . | fromJson }}
{{- with $runtime.at.tls }}{{ if .enabled }}
- name: runtime-{{ $name }}
  projected:
    defaultMode: 0440
    sources:
      - secret: {name: {{ .caSecret.name | default .secretName }}, items: [{key: {{ .caSecret.key }}, path: ca.crt}]}
      {{- with .clientSecretName }}
      - secret: {name: {{ . }}, items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}]}
      {{- end }}
{{- end }}{{ end }}
{{- end }}
{{- end }}

{{/* What does not go together, as a list of sentences. */}}
{{- define "penstock.runtimeChecks" -}}
{{- $wrong := list }}
{{- range $name, $runtime := include "penstock.runtimes" . | fromJson }}
{{- $at := $runtime.at }}
{{- $value := printf "runtimes.%s" $name }}
{{- if not $at.processes.packages }}
{{- $wrong = append $wrong (printf "%s hosts nothing: name a package in %s.processes.packages" $value $value) }}
{{- end }}
{{- if and $at.tls.enabled (not $at.tls.secretName) }}
{{- $wrong = append $wrong (printf "%s.tls.enabled needs %s.tls.secretName" $value $value) }}
{{- end }}
{{- if and (or $at.tls.secretName $at.tls.caSecret.name $at.tls.clientSecretName $at.tls.clientCaSecret.name) (not $at.tls.enabled) }}
{{- $wrong = append $wrong (printf "%s.tls has certificates and is not enabled: set %s.tls.enabled" $value $value) }}
{{- end }}
{{- if and $at.tls.clientCaSecret.name (not $at.tls.clientSecretName) }}
{{- $wrong = append $wrong (printf "%s.tls.clientCaSecret asks gateways for a certificate that they have not: give %s.tls.clientSecretName" $value $value) }}
{{- end }}
{{- if ne (ternary "image" "" (ne $at.bundle.image "")) (ternary "image" "" (ne $at.bundle.python "")) }}
{{- $wrong = append $wrong (printf "%s.bundle.image and %s.bundle.python go together: give both" $value $value) }}
{{- end }}
{{- if and $at.autoscaling.enabled (gt (int $at.autoscaling.minReplicas) (int $at.autoscaling.maxReplicas)) }}
{{- $wrong = append $wrong (printf "%s.autoscaling.minReplicas is above %s.autoscaling.maxReplicas" $value $value) }}
{{- end }}
{{- if eq (int $at.port) (int $at.metricsPort) }}
{{- $wrong = append $wrong (printf "%s.port and %s.metricsPort are the same: choose another" $value $value) }}
{{- end }}
{{- range $.Values.gateway.settings.runtimes }}
{{- if eq $name (ternary (get (ternary . dict (kindIs "map" .)) "name" | toString) (regexFind "^[^=]*" (toString .)) (kindIs "map" .)) }}
{{- $wrong = append $wrong (printf "gateway.settings.runtimes names %s, which %s is: choose another name" $name $value) }}
{{- end }}
{{- end }}
{{- end }}
{{- toJson $wrong }}
{{- end }}
