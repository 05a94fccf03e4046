#!/usr/bin/env bash
# `./x package`: builds both programs, and makes and checks the archive of a release for the system that it runs on:
#
#   target/packages/foveate-VERSION-SYSTEM.tar.gz or .zip
#
# It signs where sign.sh finds keys.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The oldest systems that the programs start on. The first is checked, the second asked of the linker.
GLIBC=2.35 # Ubuntu 22.04, Debian 12
MACOS=11.0

target=${CARGO_TARGET_DIR:-target}
version=$(packaging/release.sh version)

case $(uname -s) in
Linux) system=linux-$(uname -m) ending=tar.gz ;;
Darwin) system=macos-universal ending=zip ;;
MINGW* | MSYS*) system=windows-$(uname -m) ending=zip ;;
*) echo "no archives are made for $(uname -s)" >&2 && exit 1 ;;
esac
name=foveate-$version-$system
staged=$target/packaging
archive=$target/packages/$name.$ending

main() {
    rm -rf "$staged" "$archive"
    mkdir -p "$staged" "$target/packages"
    build
    assemble "$staged/$name"
    pack
    check
    echo "the archive is $archive"
}

# Each by itself: in one build the command would get the app's features of wgpu.
cargo_build() { # FLAG…
    cargo build --locked --release -p foveate-cli "$@"
    cargo build --locked --release -p foveate-desktop "$@"
}

# Puts the programs into $target/release.
build() {
    case $system in
    macos-*)
        local arch program
        export MACOSX_DEPLOYMENT_TARGET=$MACOS
        for arch in aarch64 x86_64; do
            rustup target add "$arch-apple-darwin"
            cargo_build --target "$arch-apple-darwin"
        done
        mkdir -p "$target/release"
        for program in foveate foveate-app; do
            lipo -create -output "$target/release/$program" "$target"/{aarch64,x86_64}-apple-darwin/release/"$program"
        done
        ;;
    # Without the C runtime's DLL, which not every Windows has.
    windows-*) RUSTFLAGS="-C target-feature=+crt-static" cargo_build ;;
    *) cargo_build ;;
    esac
}

# ---- what lies where; studio/src/model.rs finds the model in each ----

assemble() { # FOLDER
    case $system in
    linux-*)
        programs "$1/bin" ""
        data "$1/share/foveate/assets" "$1/share/doc/foveate"
        place packaging/foveate.desktop "$1/share/applications"
        place packaging/icons/foveate.png "$1/share/icons/hicolor/256x256/apps"
        mkdir -p "$1/share/icons/hicolor/scalable/apps"
        cp web/page/icon.svg "$1/share/icons/hicolor/scalable/apps/foveate.svg"
        ;;
    macos-*)
        local contents=$1/Foveate.app/Contents
        programs "$contents/MacOS" ""
        data "$contents/Resources/assets" "$contents/Resources/doc"
        place packaging/icons/foveate.icns "$contents/Resources"
        sed "s/@VERSION@/$version/; s/@MACOS@/$MACOS/" packaging/Info.plist >"$contents/Info.plist"
        ln -s Foveate.app/Contents/MacOS/foveate "$1/foveate"
        ln -s Foveate.app/Contents/Resources/doc "$1/doc"
        packaging/sign.sh macos "$1/Foveate.app"
        ;;
    windows-*)
        programs "$1" .exe
        data "$1/assets" "$1/doc"
        packaging/sign.sh windows "$1/foveate.exe" "$1/foveate-app.exe"
        ;;
    esac
}

place() { # FILE FOLDER
    mkdir -p "$2" && cp "$1" "$2"
}

programs() { # FOLDER ENDING
    place "$target/release/foveate$2" "$1"
    place "$target/release/foveate-app$2" "$1"
}

data() { # ASSETS DOCUMENTS
    mkdir -p "$1" "$2/licences"
    cp -R assets/scenes "$1"
    cp packaging/README.txt CHANGELOG.md LICENSE-MIT LICENSE-APACHE "$2"
    packaging/licences.sh foveate >"$2/licences/foveate.txt"
    packaging/licences.sh foveate-app >"$2/licences/foveate-app.txt"
    packaging/licences.sh rust >"$2/licences/rust-standard-library.html"
}

# ---- packing and unpacking ----

pack() {
    case $system in
    linux-*) tar -czf "$archive" --sort=name --owner=0 --group=0 --numeric-owner -C "$staged" "$name" ;;
    macos-*) ditto -c -k --keepParent "$staged/$name" "$archive" ;;
    windows-*) (cd "$staged" && windows_tar -a -cf "$name.$ending" "$name") && mv "$staged/$name.$ending" "$archive" ;;
    esac
}

unpack() { # FOLDER
    case $system in
    linux-*) tar -xzf "$archive" -C "$1" ;;
    macos-*) ditto -x -k "$archive" "$1" ;;
    windows-*) cp "$archive" "$1" && (cd "$1" && windows_tar -xf "$name.$ending") ;;
    esac
}

# The one of Windows, which reads and writes zip. The shell of Git has another.
windows_tar() {
    "$(cygpath "$SYSTEMROOT")/System32/tar.exe" "$@"
}

# ---- the archive, as one who downloaded it finds it ----

check() {
    local folder result=0
    folder=$(mktemp -d)
    (unpack "$folder" && cd "$folder/$name" && check_here) || result=1
    rm -rf "$folder"
    [ "$result" = 0 ] || { echo "$archive is not as it should be" >&2 && return 1; }
}

check_here() {
    local command app model doc word
    case $system in
    linux-*) command=bin/foveate app=bin/foveate-app model=share/foveate/assets/scenes doc=share/doc/foveate ;;
    macos-*) command=./foveate app=Foveate.app/Contents/MacOS/foveate-app model=Foveate.app/Contents/Resources/assets/scenes doc=doc ;;
    windows-*) command=./foveate.exe app=./foveate-app.exe model=assets/scenes doc=doc ;;
    esac
    says "foveate $version" "$command" --version && says "foveate-app $version" "$app" --version || return
    draws "$command" || { echo "$command draws no picture" >&2 && return 1; }
    # It was the model in here: not one of the repository's, which is found where there is no other.
    mv "$model/scheduler" "$model/elsewhere"
    if draws "$command" 2>/dev/null; then echo "the model is not the archive's" >&2 && return 1; fi
    for word in "MIT License" "Apache License" "BSD 2-Clause" Spleen; do
        grep -q "$word" "$doc/licences/foveate.txt" || { echo "no licence has $word" >&2 && return 1; }
    done
    for word in "SIL OPEN FONT LICENSE" "UBUNTU FONT LICENCE" "BITSTREAM VERA LICENSE"; do
        grep -q "$word" "$doc/licences/foveate-app.txt" || { echo "no licence has $word" >&2 && return 1; }
    done
    [ -s "$doc/licences/rust-standard-library.html" ] || return
    case $system in linux-*) old_enough "$command" "$app" ;; esac
}

says() { # TEXT COMMAND…
    local said
    said=$("${@:2}" | tr -d '\r') && [ "$said" = "$1" ] || { echo "${*:2} says ${said:-nothing}, not $1" >&2 && return 1; }
}

draws() { # COMMAND
    "$1" generate "a red house" --steps 2 --adapter cpu -o house.png >/dev/null && [ -s house.png ] && rm house.png
}

old_enough() { # PROGRAM…
    local program needs
    for program in "$@"; do
        needs=$(objdump -T "$program" | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -V | tail -n 1)
        echo "$program needs glibc ${needs:?is not known}, at most $GLIBC"
        [ "$(printf '%s\n' "$needs" "$GLIBC" | sort -V | tail -n 1)" = "$GLIBC" ] || return
    done
}

main
