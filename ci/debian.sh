#!/usr/bin/env bash
# Installs Debian packages, as root: seconds to a minute. `ci/debian.sh PACKAGE...`; 1 if it cannot.
#
# One installation at a time: scripts that run beside each other would find apt's lock taken and fail. No package starts a server of
# its own; the tests start theirs.
set -euo pipefail
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "$* cannot be installed here (needs apt-get and root)" >&2
  exit 1
fi
exec 9>"${TMPDIR:-/tmp}/dynamo-metrics-debian.lock"
flock 9
if [ ! -e /usr/sbin/policy-rc.d ]; then
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
  chmod +x /usr/sbin/policy-rc.d
fi
# Of these locks apt waits for one only, and only if it is told to.
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@" >/dev/null
