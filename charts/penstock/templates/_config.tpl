{{/* penstock.yaml: the settings of `penstock serve` that are no secret. Those that the chart decides win. */}}
{{- define "penstock.config" -}}
{{- $gateway := .Values.gateway }}
{{- $config := deepCopy $gateway.settings }}
{{- $_ := set $config "port" (int $gateway.port) }}
{{- $_ := set $config "admin_host" $gateway.bindAddress }}
{{- $_ := set $config "admin_port" (int .Values.admin.port) }}
{{- $_ := set $config "workers" (int (include "penstock.workers" .)) }}
{{- $_ := set $config "health_path" $gateway.healthPath }}
{{- $_ := set $config "grace" $gateway.grace }}
{{- $_ := set $config "drain_delay" $gateway.drainDelay }}
{{- $_ := set $config "ready_when_empty" (eq (include "penstock.readyWhenEmpty" .) "true") }}
{{- with include "penstock.metricsPort" . }}
{{- $_ := set $config "metrics_port" (int .) }}{{ $_ := set $config "metrics_host" $gateway.bindAddress }}
{{- end }}
{{- with $gateway.trustedProxies }}{{ $_ := set $config "trusted_proxies" . }}{{ end }}
{{- with $gateway.egress }}{{ $_ := set $config "egress" . }}{{ end }}
{{- with .Values.admin.origins }}{{ $_ := set $config "admin_origins" . }}{{ end }}
{{- with .Values.processes.packages }}{{ $_ := set $config "processes" . }}{{ end }}
{{- with .Values.policiesCode }}{{ if .packages }}
{{- $_ := set $config "policies_code" .packages }}{{ $_ := set $config "policies_memory" (int64 .memory) }}
{{- end }}{{ end }}
{{- with include "penstock.runtimeTargets" . | fromJsonArray }}{{ $_ := set $config "runtimes" . }}{{ end }}
{{- if include "penstock.hasEnvironment" . }}{{ $_ := set $config "environment" "/etc/penstock/environment/environment.yaml" }}{{ end }}
{{- include "penstock.firstDocuments" (dict "root" . "config" $config) }}
{{- include "penstock.people" (dict "oidc" .Values.admin.oidc "config" $config) }}
{{- include "penstock.tlsListener" (dict "gateway" $gateway "config" $config) }}
{{- toYaml $config }}
{{- end }}

{{/* The first node on an empty store publishes what the hook Job publishes later: see docs/decisions/0038. */}}
{{- define "penstock.firstDocuments" -}}
{{- if include "penstock.publishes" .root }}
{{- $_ := set .config "apply_at_start" "first" }}
{{- if include "penstock.documentsInChart" .root }}{{ $_ := set .config "manifests" "/etc/penstock/documents" }}{{ end }}
{{- if include "penstock.documentsInBundle" .root }}{{ $_ := set .config "policies" "/bundle/documents" }}{{ end }}
{{- end }}
{{- end }}

{{- define "penstock.people" -}}
{{- if .oidc.issuer }}
{{- $_ := set .config "admin_oidc_issuer" .oidc.issuer }}
{{- $_ := set .config "admin_oidc_audience" .oidc.audience }}
{{- $_ := set .config "admin_oidc_claim" .oidc.claim }}
{{- $_ := set .config "admin_oidc_roles" .oidc.roles }}
{{- $_ := set .config "admin_oidc_scopes" .oidc.scopes }}
{{- range $value, $setting := dict "components" "components" "clientId" "client_id" "cliClientId" "cli_client_id" "resource" "resource" }}
{{- with index $.oidc $value }}{{ $_ := set $.config (printf "admin_oidc_%s" $setting) . }}{{ end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "penstock.tlsListener" -}}
{{- with .gateway.tls }}{{ if .enabled }}
{{- $tls := dict "certificates" (list (dict "certificate" "/etc/penstock/tls/tls.crt" "key" "/etc/penstock/tls/tls.key")) "min_version" .minVersion }}
{{- if .clientCaSecret.name }}
{{- $_ := set $tls "client_ca" "/etc/penstock/client-ca/ca.crt" }}
{{- $_ := set $tls "client_auth" .clientAuth }}
{{- end }}
{{- $host := contains ":" $.gateway.bindAddress | ternary (printf "[%s]" $.gateway.bindAddress) $.gateway.bindAddress }}
{{- $_ := set $.config "listen" (append ($.config.listen | default list) (dict "address" (printf "%s:%d" $host (int .port)) "name" "https" "tls" $tls)) }}
{{- end }}{{ end }}
{{- end }}
