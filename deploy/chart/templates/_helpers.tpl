{{/* The labels of one part's objects; takes (list . "frontend"). */}}
{{- define "triton-llama.labels" -}}
{{- $root := index . 0 -}}
{{ include "triton-llama.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ $root.Chart.Name }}-{{ $root.Chart.Version }}
{{- end }}

{{/* What selects the pods of one part; takes the same. */}}
{{- define "triton-llama.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: triton-llama
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "triton-llama.triton" -}}
{{ .Release.Name }}-triton
{{- end }}

{{- define "triton-llama.enginesClaim" -}}
{{ .Values.engines.claim | default (printf "%s-engines" .Release.Name) }}
{{- end }}

{{/* Where the frontends find Triton: every pod by its stable name, or what the Service's name resolves to when their
number changes by itself. LeaderWorkerSet makes a Service of its own name for all pods of its groups. The addresses take
(list . port). */}}
{{- define "triton-llama.service" -}}
{{ include "triton-llama.triton" . }}{{ if .Values.triton.multiNode.enabled }}-leaders{{ end }}
{{- end }}

{{- define "triton-llama.addresses" -}}
{{- $root := index . 0 -}}
{{- $port := index . 1 -}}
{{- $name := include "triton-llama.triton" $root -}}
{{- if $root.Values.triton.autoscaling.enabled -}}
{{ include "triton-llama.service" $root }}:{{ $port }}
{{- else -}}
{{- range $index := until (int $root.Values.triton.replicas) -}}
{{ if $index }},{{ end }}{{ $name }}-{{ $index }}.{{ $name }}:{{ $port }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "triton-llama.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "triton-llama.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Where Triton's pods may write, and what they read. */}}
{{- define "triton-llama.tritonMounts" -}}
- {name: engines, mountPath: /engines, readOnly: true}
- {name: shared-memory, mountPath: /dev/shm}
- {name: scratch, mountPath: /tmp}
- {name: cache, mountPath: /opt/triton-llama/.cache}
{{- end }}

{{- define "triton-llama.tritonVolumes" -}}
- name: engines
  persistentVolumeClaim: {claimName: {{ include "triton-llama.enginesClaim" . }}}
- name: shared-memory
  emptyDir: {medium: Memory, sizeLimit: {{ .Values.triton.sharedMemory }}}
- name: scratch
  emptyDir: {}
- name: cache
  emptyDir: {}
{{- end }}

{{/* Triton serves grpc.health.v1 on its inference port, from when its models are loaded. */}}
{{- define "triton-llama.tritonProbes" -}}
startupProbe:
  grpc: {port: 8001}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: {{ mul .Values.triton.startupMinutes 6 }}
readinessProbe:
  grpc: {port: 8001}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
livenessProbe:
  grpc: {port: 8001}
  periodSeconds: 15
  timeoutSeconds: 10
  failureThreshold: 6
{{- end }}

{{- define "triton-llama.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Requests and limits with GPUs; takes (list resources gpus otherDevices). */}}
{{- define "triton-llama.gpuResources" -}}
{{- $devices := merge (dict "nvidia.com/gpu" (index . 1)) (index . 2) -}}
{{- $resources := deepCopy (index . 0) -}}
{{- $_ := set $resources "limits" (merge $devices ($resources.limits | default dict)) -}}
{{ toYaml $resources }}
{{- end }}
