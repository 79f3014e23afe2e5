{{/* What values.schema.json cannot say: values that do not go together, each with the way out. */}}
{{- define "penstock.checks" -}}
{{- $wrong := list }}
{{- $external := .Values.store.external }}
{{- if and (eq .Values.store.mode "external") (not $external.hosts) (not $external.urlSecret.name) }}
{{- $wrong = append $wrong "store.mode is external, and nothing says where it is: give store.external.hosts, or store.external.urlSecret.name" }}
{{- end }}
{{- if and (eq .Values.store.mode "external") (eq $external.topology "single") (gt (len $external.hosts) 1) }}
{{- $wrong = append $wrong "store.external.hosts has several, and store.external.topology is single: say sentinel or cluster" }}
{{- end }}
{{- if and (eq $external.topology "cluster") (int $external.database) }}
{{- $wrong = append $wrong "store.external.database: a cluster has 0 alone" }}
{{- end }}
{{- if and (or $external.tls.caSecret.name $external.tls.clientSecret.name) (not $external.tls.enabled) (not $external.urlSecret.name) }}
{{- $wrong = append $wrong "store.external.tls has certificates and is not enabled: set store.external.tls.enabled" }}
{{- end }}
{{- if and (include "penstock.embedded" .) .Values.autoscaling.enabled }}
{{- $wrong = append $wrong "autoscaling.enabled: an embedded store means one node; set store.mode to external or bundled" }}
{{- end }}
{{- if and .Values.gateway.tls.enabled (not .Values.gateway.tls.secretName) }}
{{- $wrong = append $wrong "gateway.tls.enabled needs gateway.tls.secretName" }}
{{- end }}
{{- with .Values.admin.oidc }}
{{- if and (or .issuer .audience .roles) (not (and .issuer .audience .roles)) }}
{{- $wrong = append $wrong "admin.oidc.issuer, audience and roles go together: give all three" }}
{{- end }}
{{- if and (or .clientId .cliClientId .resource) (not .issuer) }}
{{- $wrong = append $wrong "admin.oidc.clientId, cliClientId and resource are of a provider: give admin.oidc.issuer" }}
{{- end }}
{{- if and .clientSecret.name (not .clientId) }}
{{- $wrong = append $wrong "admin.oidc.clientSecret is of a client: give admin.oidc.clientId" }}
{{- end }}
{{- end }}
{{- if and (or .Values.bundle.documents .Values.bundle.python) (not .Values.bundle.image) }}
{{- $wrong = append $wrong "bundle.documents and bundle.python are folders in bundle.image, which is missing" }}
{{- end }}
{{- if and .Values.bundle.image (not .Values.bundle.documents) (not .Values.bundle.python) }}
{{- $wrong = append $wrong "bundle.image is copied from bundle.documents or bundle.python: name a folder" }}
{{- end }}
{{- if and .Values.environment.existingConfigMap.name .Values.environment.values }}
{{- $wrong = append $wrong "environment.values belong into the ConfigMap that environment.existingConfigMap names" }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
{{- $wrong = append $wrong "ingress.enabled needs ingress.hosts: [{host: api.example.com}]" }}
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
{{- $wrong = append $wrong "httpRoute.enabled needs httpRoute.parentRefs: [{name: GATEWAY}]" }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- $wrong = append $wrong "autoscaling.minReplicas is above autoscaling.maxReplicas" }}
{{- end }}
{{- if and .Values.autoscaling.enabled (not .Values.autoscaling.cpu) (not .Values.autoscaling.exchanges.enabled) }}
{{- $wrong = append $wrong "autoscaling.enabled needs autoscaling.cpu or autoscaling.exchanges" }}
{{- end }}
{{- $wrong = concat $wrong (include "penstock.runtimeChecks" . | fromJsonArray) }}
{{- if $wrong }}
{{- fail (printf "\nThese values do not go together:\n  %s" (join "\n  " $wrong)) }}
{{- end }}
{{- end }}
