# shellcheck shell=bash
# What the other scripts share: telling what happens, and running it.

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
warn() { printf 'warning: %s\n' "$*" >&2; }
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }
in_ci() { [[ ${CI:-} == true || ${CI:-} == 1 ]]; }

# Runs a command as root, through sudo where we are not.
as_root() {
    if [[ $(id -u) -eq 0 ]]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        fail "this needs root, and there is no sudo: $*"
    fi
}

# fingerprint FILE…: one hash over the files' contents, for stamps.
fingerprint() { cat "$@" | sha256sum | cut -d' ' -f1; }

# render TEMPLATE KEY=VALUE…: prints TEMPLATE with every @KEY@ replaced.
render() {
    local text pair
    text=$(<"$1")
    shift
    for pair in "$@"; do
        text=${text//"@${pair%%=*}@"/"${pair#*=}"}
    done
    printf '%s\n' "$text"
}

# random_word: 16 characters that are easy to read out and to type, about 80 bits.
random_word() {
    local word
    word=$(head -c 512 /dev/urandom | LC_ALL=C tr -dc 'abcdefghjkmnpqrstuvwxyz23456789')
    printf '%s' "${word:0:16}"
}
