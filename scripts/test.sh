# shellcheck shell=bash
# `./dev check`, `test`, `e2e`, `conformance`: stages, each timed and counted, and one line for all of them at the end.

PASSED=0
FAILED=0
SKIPPED=()

check() {
    needs_rust
    stage "formatting" cargo fmt --all --check
    stage "lints" cargo clippy --locked --all-targets -- -D warnings
    cargo_tests "unit tests" --lib --bins
    scripts_stage
    conclude
}

test_all() {
    needs_rust
    stage "formatting" cargo fmt --all --check
    stage "lints" cargo clippy --locked --all-targets -- -D warnings
    # The tests that need them skip themselves where they are missing.
    optional "slapd and Samba" needs_packages "${APT_DIRECTORIES[@]}" || true
    cargo_tests "unit and integration tests" --all-targets
    cargo_tests "documentation tests" --doc
    stage "the program" cargo build --locked --bin usher
    optional "the checker of metrics" needs_packages "${APT_METRICS[@]}" || true
    end_to_end
    conformance
    scripts_stage
    dependency_rules
    conclude
}

end_to_end_only() {
    needs_rust
    stage "the program" cargo build --locked --bin usher
    end_to_end "$@"
    conclude
}

conformance_only() {
    needs_rust
    stage "the program" cargo build --locked --bin usher
    conformance
    conclude
}

# end_to_end [FILTER]
end_to_end() {
    optional "Chromium" needs_packages "${APT_BROWSER[@]}" || return 0
    optional "Playwright" needs_node_modules tests/e2e || return 0
    optional "Eclipse Theia" needs_theia || return 0
    # One after the other: each test file has a gateway, a browser and an IDE, and this must fit two cores.
    node_tests "end to end in Chromium" --test-concurrency=1 ${1:+--test-name-pattern="$1"} tests/e2e/*.test.mjs
}

conformance() {
    optional "the conformance runner" needs_conformance_runner || return 0
    optional "the WebSocket server" needs_node_modules tests/conformance || return 0
    node_tests "WebSocket conformance" tests/conformance/*.test.mjs
}

scripts_stage() {
    optional "shellcheck" needs_packages "${APT_SCRIPTS[@]}" || return 0
    stage "scripts" shellcheck --external-sources dev .ci/run scripts/*.sh
}

# Only where cargo-deny is installed (`cargo install cargo-deny --locked`), and without the advisories, whose list is
# fetched from elsewhere: `cargo deny check` does those.
dependency_rules() {
    have cargo-deny || return 0
    stage "rules for dependencies" cargo deny --offline check bans licenses sources
}

# optional WHAT COMMAND…: a part that cannot be had is skipped with a word about it; in CI it is a failure.
optional() {
    local what=$1
    shift
    # In a shell of its own, since an installation that fails leaves its shell.
    if ("$@"); then return 0; fi
    if in_ci; then
        FAILED=$((FAILED + 1))
        warn "$what cannot be had"
    else
        SKIPPED+=("$what")
        warn "$what cannot be had; the tests that need it are skipped"
    fi
    return 1
}

# stage NAME COMMAND…: counts as one passed or failed; the stages after it run all the same.
stage() {
    local name=$1
    shift
    if timed "$name" "$@"; then PASSED=$((PASSED + 1)); else FAILED=$((FAILED + 1)); fi
}

# cargo_tests NAME ARGUMENTS…: counts the tests that cargo counts. Benches are compiled, and run once each.
cargo_tests() {
    local name=$1 log
    shift
    log=$(mktemp)
    timed "$name" logged "$log" cargo test --locked --no-fail-fast "$@" || count_failed_stage "$log" '^test result:'
    PASSED=$((PASSED + $(sum "$log" 's/^test result: .* \([0-9]*\) passed;.*/\1/p')))
    FAILED=$((FAILED + $(sum "$log" 's/^test result: .* \([0-9]*\) failed;.*/\1/p')))
    rm -f "$log"
}

# node_tests NAME ARGUMENTS…: the same for Node's test runner.
node_tests() {
    local name=$1 log
    shift
    log=$(mktemp)
    USHER_BINARY=$TARGET/debug/usher USHER_THEIA=$CACHE/theia \
        USHER_CONFORMANCE_PYTHON=$CACHE/conformance-venv/bin/python \
        timed "$name" node --test --test-reporter=spec --test-reporter-destination=stdout \
        --test-reporter=tap --test-reporter-destination="$log" "$@" || count_failed_stage "$log" '^# fail'
    PASSED=$((PASSED + $(sum "$log" 's/^# pass \([0-9]*\)/\1/p')))
    FAILED=$((FAILED + $(sum "$log" 's/^# fail \([0-9]*\)/\1/p')))
    rm -f "$log"
}

# A stage that failed before it had anything to count still counts as one failure.
count_failed_stage() {
    grep -q "$2" "$1" || FAILED=$((FAILED + 1))
}

logged() {
    local log=$1
    shift
    "$@" 2>&1 | tee "$log"
}

sum() { sed -n "$2" "$1" | awk '{ total += $1 } END { print total + 0 }'; }

timed() {
    local name=$1 began=$SECONDS status=0
    shift
    say "$name"
    "$@" || status=$?
    if [[ $status -eq 0 ]]; then
        say "$name: done after $((SECONDS - began)) s"
    else
        say "$name: FAILED after $((SECONDS - began)) s"
    fi
    return "$status"
}

conclude() {
    [[ ${#SKIPPED[@]} -eq 0 ]] || warn "skipped for want of: $(printf '%s; ' "${SKIPPED[@]}")"
    printf '%d passed, %d failed\n' "$PASSED" "$FAILED"
    [[ $FAILED -eq 0 ]]
}
