# shellcheck shell=bash
# `./dev bench`: the comparison with nginx and HAProxy, or the benches of the pure parts.

bench() {
    needs_rust
    if [[ ${1:-} == pure ]]; then
        exec cargo bench --locked
    fi
    needs_packages "${APT_BENCH[@]}"
    needs_node
    say "building the gateway as it is shipped"
    cargo build --profile dist --locked --bin usher
    # Ten thousand tunnels are twenty thousand sockets in the server alone. Only some may go past the hard limit.
    ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"
    USHER_BINARY=$TARGET/dist/usher exec node benches/compare/main.mjs "$@"
}
