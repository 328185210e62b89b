#!/usr/bin/env bash
# Installs the Debian packages that the tests use as real peers, where they are missing.
set -euo pipefail
missing=()
# Beside the SIP peers: what the fault suite breaks networks, disks and clocks with.
wanted=(sipp:sip-tester baresip:baresip-core promtool:prometheus gcc:gcc ip:iproute2 nft:nftables fiu-run:fiu-utils
    faketime:faketime)
# The store that the replication is measured beside.
[ "${1:-}" = etcd ] && wanted+=(etcd:etcd-server etcdctl:etcd-client)
for pair in "${wanted[@]}"; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
command -v cargo-nextest >/dev/null || need_nextest=1
if [ ${#missing[@]} -gt 0 ]; then
    sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    export DEBIAN_FRONTEND=noninteractive
    $sudo apt-get update -qq
    $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
if [ -n "${need_nextest:-}" ]; then
    cargo install --locked cargo-nextest
fi
