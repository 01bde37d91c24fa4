#!/usr/bin/env bash
# Builds the toolchain, release.
set -euo pipefail
cd "$(dirname "$0")/../.."
. testsuite/scripts/deps.sh

need_cargo
need_packages "${BUILD_PACKAGES[@]}"
cargo build --release --locked -p mv-cc -p mv-link
ln -sf mv-cc "${CARGO_TARGET_DIR:-target}/release/mv-c++"
