#!/bin/sh
# Remove the cluster that up.sh made, with all that is in it.
set -eu
kind delete cluster --name forescale
