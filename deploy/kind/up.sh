#!/bin/sh
# A cluster on this machine with forescale at work: kind, Prometheus, Grafana, the chart, a sample application with load,
# and its ScalingPolicy. Needs Docker, kind, kubectl and helm. down.sh removes all of it.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
for program in docker kind kubectl helm; do
    if ! command -v "$program" >/dev/null; then
        echo "up.sh: $program is not installed" >&2
        exit 2
    fi
done

cd "$here/../.."
image=forescale:0.1.0
docker build --target operator --tag "$image" .
if ! kind get clusters | grep -qx forescale; then
    kind create cluster --config "$here/cluster.yaml"
fi
kind load docker-image "$image" --name forescale
kubectl config use-context kind-forescale

kubectl apply --filename "$here/manifests/namespaces.yaml"
kubectl create configmap sample-programs --namespace shop --from-file "$here/app.py" --from-file "$here/load.py" \
    --dry-run=client --output yaml | kubectl apply --filename -
helm upgrade --install forescale deploy/helm/forescale --namespace forescale-system --values "$here/values.yaml"
kubectl apply --filename "$here/manifests"

for deployment in monitoring/prometheus monitoring/grafana forescale-system/forescale shop/web shop/load; do
    kubectl rollout status --namespace "${deployment%/*}" "deployment/${deployment#*/}" --timeout 5m
done
echo
echo "Grafana: http://localhost:3000/d/forescale-policy?var-namespace=shop&var-policy=web"
echo "Watch:   kubectl get scalingpolicies --namespace shop --watch"
