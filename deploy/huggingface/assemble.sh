#!/bin/sh
# Write what a Hugging Face Space needs into an empty folder: assemble.sh DIR. Then push that folder to the Space.
set -eu

into=${1:?usage: assemble.sh DIR}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$into"
if [ -n "$(ls -A "$into")" ]; then
    echo "assemble.sh: $into is not empty" >&2
    exit 2
fi
cd "$here/../.."
git ls-files -z -- pyproject.toml LICENSE constraints/build.txt constraints/api.txt \
    scaling sim training controller forescale | tar --null --files-from=- --create --file=- | tar -x -C "$into" -f -
cp "$here/README.md" "$here/Dockerfile" "$into/"
echo "assembled: $into"
