#!/bin/sh
# Brings every defect of this folder back into a copy of the last commit, one at a time, and shows that its test sees it.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
survived=0
for patch in "$here"/*.patch; do
	copy=$(mktemp -d)
	git -C "$root" archive HEAD | tar x -C "$copy"
	name=$(basename "$patch" .patch)
	test=$(sed -n 's/^test: //p' "$patch")
	if ! (cd "$copy" && git init -q . && git apply "$patch"); then
		echo "$name: the patch does not apply any more; make it again for the code of today"
		survived=1
	elif (cd "$copy" && $test) >"$copy/out" 2>&1; then
		echo "$name: NOT SEEN by $test"
		survived=1
	elif ! grep -q '^--- FAIL' "$copy/out"; then
		echo "$name: $test did not run"
		tail -5 "$copy/out"
		survived=1
	else
		echo "$name: seen by $test"
	fi
	rm -rf "$copy"
done
exit $survived
