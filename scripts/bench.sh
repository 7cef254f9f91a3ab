# shellcheck shell=bash
# `./dev bench`: the comparison with nginx and HAProxy, sign-ins at a directory, or the benches of the pure parts.

bench() {
    needs_rust
    if [[ ${1:-} == pure ]]; then
        exec cargo bench --locked
    fi
    local folder=compare
    if [[ ${1:-} == logins ]]; then
        shift
        folder=logins
        needs_packages "${APT_BENCH_LOGINS[@]}"
    else
        needs_packages "${APT_BENCH[@]}"
    fi
    needs_node
    say "building the gateway as it is shipped"
    cargo build --profile dist --locked --bin usher
    # Ten thousand tunnels are twenty thousand sockets in the server alone. Only some may go past the hard limit.
    ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"
    USHER_BINARY=$TARGET/dist/usher exec node "benches/$folder/main.mjs" "$@"
}
