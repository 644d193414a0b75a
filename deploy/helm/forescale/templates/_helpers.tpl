{{- define "forescale.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "forescale.labels" -}}
app.kubernetes.io/name: forescale
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* Not empty where a Job trains or tunes. */ -}}
{{- define "forescale.trains" -}}
{{- if or .Values.training.job .Values.training.schedule .Values.tuning.workers }}yes{{ end }}
{{- end }}

{{- /* Labels that select the pods of one component: (list . "operator"). */ -}}
{{- define "forescale.selector" -}}
app.kubernetes.io/name: forescale
app.kubernetes.io/instance: {{ (first .).Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end }}

{{- define "forescale.image" -}}
{{- $root := first . }}{{ $image := last . -}}
{{ $image.repository }}:{{ $image.tag | default $root.Chart.AppVersion }}
{{- end }}

{{- /* What the Pod Security Standard `restricted` asks of a pod and of a container, and a root that is read-only. */ -}}
{{- define "forescale.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "forescale.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
