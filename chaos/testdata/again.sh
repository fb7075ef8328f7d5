#!/bin/sh
# again.sh FOLDER: applies every patch of the folder to a copy of the last commit, one at a time, and shows that the test it
# names sees it. ONLY=pattern narrows it down.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git -C "$root" archive HEAD | tar x -C "$copy"
cd "$copy" && git init -q .
export GOFLAGS=-trimpath # or nothing that was compiled in another copy could be used again
survived=0
for patch in "$here/$1"/${ONLY:-}*.patch; do
	name=$(basename "$patch" .patch)
	test=$(sed -n 's/^test: //p' "$patch")
	if ! git apply "$patch"; then
		echo "$name: the patch does not apply any more; make it again for the code of today"
		survived=1
		continue
	fi
	if sh -c "$test" >out 2>&1; then
		echo "$name: NOT SEEN by $test"
		survived=1
	elif ! grep -qE '^--- FAIL|^panic: ' out; then
		echo "$name: $test did not run"
		tail -5 out
		survived=1
	else
		echo "$name: seen by $(sed -n 's/^--- FAIL: \([^ ]*\).*/\1/p; s/^panic: /a panic: /p' out | sort -u | tr '\n' ' ')"
	fi
	git apply -R "$patch" || exit 1
done
exit $survived
