#!/usr/bin/env bash
# Prints the licences of what a program contains, with their texts: licences.sh foveate | foveate-app | web | rust
# The last is the standard library, which is in each of the others.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VERSION=0.9.3 # of cargo-about
NATIVE=(x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu x86_64-apple-darwin aarch64-apple-darwin x86_64-pc-windows-msvc)

target=${CARGO_TARGET_DIR:-target}

about() { # CRATE'S FOLDER, TARGET…
    local config=$target/about.toml flags
    install_about >&2
    sed -n '/^allow = \[/,/^\]/ { s/^allow/accepted/; p; }' deny.toml | cat - packaging/about.toml >"$config"
    flags=(--locked --fail --config "$config" --manifest-path "$1/Cargo.toml" "${@:2}")
    # From the files of the crates alone, so that the same is printed everywhere.
    cargo fetch --locked --quiet
    "$target/about/bin/cargo-about" about generate --offline "${flags[@]}" packaging/about.hbs
}

# Fonts are data, which cargo-about does not read: their licences lie beside them.
fonts() { # FOLDER
    local file
    for file in "$1"/*.txt; do
        printf '%.0s=' {1..80}
        printf '\nFonts: %s\n\n' "$(basename "$file")"
        cat "$file"
        echo
    done
}

# Where cargo keeps the crate with the fonts of the app.
app_fonts() {
    local manifest
    manifest=$(cargo metadata --locked --format-version 1 | grep -o '"manifest_path":"[^"]*epaint_default_fonts[^"]*"' | cut -d '"' -f 4)
    manifest=${manifest//\\\\//} # of Windows
    echo "$(dirname "$manifest")/fonts"
}

install_about() {
    "$target/about/bin/cargo-about" --version 2>/dev/null | grep -q " $VERSION\$" ||
        cargo install --locked --quiet cargo-about --version "$VERSION" --features cli --root "$target/about"
}

case ${1:-} in
foveate) about cli "${NATIVE[@]/#/--target=}" && fonts cli/src/maps ;;
foveate-app) about desktop "${NATIVE[@]/#/--target=}" && fonts "$(app_fonts)" ;;
web) about web/engine --target=wasm32-unknown-unknown ;;
rust) cat "$(rustc --print sysroot)/share/doc/rust/COPYRIGHT-library.html" ;;
*) echo "whose licences? $0 begins with a list" >&2 && exit 1 ;;
esac
