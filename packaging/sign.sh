#!/usr/bin/env bash
# Signs programs, where keys are given by environment variables (CONTRIBUTING.md, "Release").
#
#   sign.sh macos APP        MACOS_CERTIFICATE, MACOS_CERTIFICATE_PASSWORD; to notarise NOTARY_KEY, NOTARY_KEY_ID, NOTARY_ISSUER
#   sign.sh windows FILE…    WINDOWS_CERTIFICATE, WINDOWS_CERTIFICATE_PASSWORD
#
# Certificates and NOTARY_KEY are files in base64.
set -euo pipefail

keys=$(mktemp -d)
trap 'rm -rf "$keys"' EXIT

macos() { # APP
    if [ -z "${MACOS_CERTIFICATE:-}" ]; then
        echo "MACOS_CERTIFICATE is not set: the app is signed ad hoc, and macOS asks before it opens it"
        sign_app "$1" --sign -
        return
    fi
    open_keychain
    local identity
    identity=$(security find-identity -v -p codesigning "$keys/release.keychain" | sed -n 's/.*"\(Developer ID Application.*\)"/\1/p' | head -n 1)
    [ -n "$identity" ] || { echo "MACOS_CERTIFICATE has no Developer ID Application" >&2 && return 1; }
    sign_app "$1" --sign "$identity" --options runtime --timestamp --keychain "$keys/release.keychain"
    if [ -z "${NOTARY_KEY:-}" ]; then
        echo "NOTARY_KEY is not set: the app is signed, but not notarised"
        return
    fi
    base64 --decode <<<"$NOTARY_KEY" >"$keys/notary.p8"
    ditto -c -k --keepParent "$1" "$keys/app.zip"
    xcrun notarytool submit "$keys/app.zip" --wait --key "$keys/notary.p8" --key-id "$NOTARY_KEY_ID" --issuer "$NOTARY_ISSUER"
    # Fails where Apple refused it.
    xcrun stapler staple "$1"
}

# The command first: the app's signature seals it.
sign_app() { # APP FLAG…
    codesign --force "${@:2}" "$1/Contents/MacOS/foveate"
    codesign --force "${@:2}" "$1"
    codesign --verify --strict --deep "$1"
}

# The certificate in a keychain of its own, which goes when this ends.
open_keychain() {
    local password keychain=$keys/release.keychain
    password=$(uuidgen)
    trap 'security delete-keychain "$keys/release.keychain" || true; rm -rf "$keys"' EXIT
    base64 --decode <<<"$MACOS_CERTIFICATE" >"$keys/certificate.p12"
    security create-keychain -p "$password" "$keychain"
    security set-keychain-settings -lut 3600 "$keychain"
    security unlock-keychain -p "$password" "$keychain"
    security import "$keys/certificate.p12" -k "$keychain" -P "$MACOS_CERTIFICATE_PASSWORD" -T /usr/bin/codesign
    security set-key-partition-list -S apple-tool:,apple: -s -k "$password" "$keychain" >/dev/null
    # codesign looks for the chain of certificates in the keychains of this list.
    security list-keychains -d user -s "$keychain" login.keychain
}

windows() { # FILE…
    if [ -z "${WINDOWS_CERTIFICATE:-}" ]; then
        echo "WINDOWS_CERTIFICATE is not set: the programs are not signed, and Windows asks before it starts them"
        return
    fi
    local signtool
    signtool=$(find "/c/Program Files (x86)/Windows Kits/10/bin" -path '*/x64/signtool.exe' | sort -V | tail -n 1)
    [ -n "$signtool" ] || { echo "signtool is missing: install the Windows SDK" >&2 && return 1; }
    base64 --decode <<<"$WINDOWS_CERTIFICATE" >"$keys/certificate.pfx"
    # Dashes, not slashes: the shell of Git would take these for paths.
    "$signtool" sign -fd SHA256 -td SHA256 -tr http://timestamp.digicert.com \
        -f "$(cygpath -w "$keys/certificate.pfx")" -p "$WINDOWS_CERTIFICATE_PASSWORD" "$@"
}

"$@"
