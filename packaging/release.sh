#!/usr/bin/env bash
# The steps of .github/workflows/release.yml, each of which can be tried by hand:
#
#   release.sh version              the version in Cargo.toml
#   release.sh check [TAG]          is it the npm package's? With TAG: is it the tag's, and does CHANGELOG.md have it?
#   release.sh notes                the release's text: what CHANGELOG.md has on the version, or on what is unreleased
#   release.sh sums FOLDER          writes FOLDER/SHA256SUMS
#   release.sh crates [--dry-run]   publishes the crates that are not published yet, by CARGO_REGISTRY_TOKEN
#   release.sh pack                 target/packages/foveate-VERSION-npm.tgz from web/dist, with its licences
#   release.sh npm FILE             publishes it where it is not published yet, by NPM_TOKEN
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Each after those that it needs.
CRATES=(foveate foveate-studio foveate-cli)

version() {
    sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml
}

check() { # [TAG]
    local version npm
    version=$(version)
    npm=$(sed -n 's/^  "version": "\(.*\)",/\1/p' web/api/package.json)
    [ "$npm" = "$version" ] || fail "web/api/package.json has version $npm, Cargo.toml has $version"
    [ -n "${1:-}" ] || return 0
    [ "$1" = "v$version" ] || fail "the tag is $1, but Cargo.toml has version $version"
    [ -n "$(section "$version")" ] || fail "CHANGELOG.md has no part \"## $version\""
}

notes() {
    local text
    text=$(section "$(version)")
    echo "${text:-$(section Unreleased)}"
}

section() { # VERSION
    awk -v wanted="$1" '/^## / { found = $2 == wanted; next } found' CHANGELOG.md
}

sums() { # FOLDER
    local sums
    sums=$(cd "$1" && rm -f SHA256SUMS && sha256sum -- *)
    tee "$1/SHA256SUMS" <<<"$sums"
}

crates() { # [--dry-run]
    local crate
    if [ "${1:-}" = --dry-run ]; then
        cargo publish --locked --dry-run "${CRATES[@]/#/--package=}"
        return
    fi
    [ -n "${CARGO_REGISTRY_TOKEN:-}" ] || { echo "CARGO_REGISTRY_TOKEN is not set: no crate is published" && return; }
    for crate in "${CRATES[@]}"; do
        if crate_is_there "$crate"; then
            echo "$crate $(version) is published already"
        else
            cargo publish --locked -p "$crate" # and waits until others can depend on it
        fi
    done
}

# Asked from another folder: here cargo would answer with the crate at hand.
crate_is_there() { # CRATE
    local said asked
    asked=$1@$(version)
    if said=$(cd / && cargo info --registry crates-io "$asked" 2>&1); then return 0; fi
    grep -q "could not find" <<<"$said" || fail "$said"
    return 1
}

pack() {
    local folder
    packaging/licences.sh web >web/dist/foveate/THIRD-PARTY.txt
    packaging/licences.sh rust >web/dist/foveate/RUST-STANDARD-LIBRARY.html
    [ -s web/dist/foveate/THIRD-PARTY.txt ] && [ -s web/dist/foveate/RUST-STANDARD-LIBRARY.html ]
    mkdir -p "${CARGO_TARGET_DIR:-target}/packages"
    folder=$(cd "${CARGO_TARGET_DIR:-target}/packages" && pwd)
    npm pack ./web/dist/foveate --pack-destination "$folder"
    mv "$folder/foveate-$(version).tgz" "$folder/foveate-$(version)-npm.tgz"
}

npm_publish() { # FILE
    local said
    [ -n "${NPM_TOKEN:-}" ] || { echo "NPM_TOKEN is not set: the npm package is not published" && return; }
    if said=$(npm view "foveate@$(version)" version 2>&1) && [ -n "$said" ]; then
        echo "foveate $(version) is published already"
        return
    fi
    [ -z "$said" ] || grep -q E404 <<<"$said" || fail "$said"
    NPM_CONFIG_USERCONFIG=$(mktemp)
    export NPM_CONFIG_USERCONFIG
    # npm puts the variable's value in.
    echo "$(npm config get registry | sed 's/^https*://'):_authToken=\${NPM_TOKEN}" >"$NPM_CONFIG_USERCONFIG"
    npm publish "$1" --access public
}

fail() {
    echo "$*" >&2
    exit 1
}

case ${1:-} in
version | check | notes | sums | crates | pack) "$@" ;;
npm) npm_publish "${@:2}" ;;
*) fail "what? $0 begins with a list" ;;
esac
