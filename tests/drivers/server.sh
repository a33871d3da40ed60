# shellcheck shell=bash
# What the tests with clients of other makers share: sourced by tests/drivers/run and tests/apps/run, which set HERE and CACHE.
# Starts Pontoon as a tenant has it, or Debian's redis-server over TLS, and installs pinned packages into the cache folder.
#
# Always: servers write to a temporary folder, and what was started here ends with the script that sources this.
DIR=$(mktemp -d "${TMPDIR:-/tmp}/pontoon-clients.XXXXXX")
pid=
stop_server() {
    [ -n "$pid" ] || return 0
    kill -TERM "$pid" 2>/dev/null
    for _ in $(seq 200); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null && echo "the server did not stop within 20 s of SIGTERM" >&2
    wait "$pid" 2>/dev/null
    pid=
}
trap 'stop_server; rm -rf "$DIR"' EXIT

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

install_python() { # FOLDER with requirements.txt
    [ -x "$CACHE/venv/bin/python" ] && cmp -s "$1/requirements.txt" "$CACHE/venv/requirements.txt" && return 0
    rm -rf "$CACHE/venv"
    mkdir -p "$CACHE" && python3 -m venv "$CACHE/venv" &&
        "$CACHE/venv/bin/pip" install --quiet --disable-pip-version-check -r "$1/requirements.txt" &&
        cp "$1/requirements.txt" "$CACHE/venv/"
}
install_node() { # FOLDER with node/package-lock.json
    mkdir -p "$CACHE/node"
    cmp -s "$1/node/package-lock.json" "$CACHE/node/installed.json" && return 0
    cp "$1/node/package.json" "$1/node/package-lock.json" "$CACHE/node/" &&
        (cd "$CACHE/node" && npm ci --silent --ignore-scripts --no-audit --no-fund) &&
        cp "$1/node/package-lock.json" "$CACHE/node/installed.json"
}

# Waits for a file or for the end of the server; shows the server's log when it ends first.
await() { # WHAT SECONDS COMMAND...
    local what=$1 end=$((SECONDS + $2))
    shift 2
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $end ] || ! kill -0 "$pid" 2>/dev/null; then
            echo "FAILED: $what did not happen; the server's last lines:" >&2
            tail -30 "$DIR/log" >&2
            return 1
        fi
        sleep 0.1
    done
}

# A TLS server of Debian's redis, with a service.json as `pontoon dev` writes it.
start_redis() { # MODE
    local port password=secret tls="$DIR/tls" cluster=()
    port=$(free_port)
    mkdir -p "$tls"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test-ca \
        -keyout "$tls/ca.key" -out "$tls/ca.pem" 2>/dev/null
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=server \
        -keyout "$tls/server.key" -out "$tls/server.csr" 2>/dev/null
    openssl x509 -req -in "$tls/server.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -CAcreateserial -days 2 \
        -extfile <(echo "subjectAltName=DNS:localhost,IP:127.0.0.1") -out "$tls/server.pem" 2>/dev/null
    [ "$1" = redirect ] && cluster=(--cluster-enabled yes --cluster-config-file "$DIR/nodes.conf" --cluster-port "$(free_port)"
        --cluster-announce-ip 127.0.0.1 --tls-cluster yes)
    redis-server --bind 127.0.0.1 --port 0 --tls-port "$port" --tls-cert-file "$tls/server.pem" \
        --tls-key-file "$tls/server.key" --tls-ca-cert-file "$tls/ca.pem" --tls-auth-clients no --requirepass "$password" \
        --dir "$DIR" --save "" --appendonly no "${cluster[@]}" >"$DIR/log" 2>&1 &
    pid=$!
    local cli=(redis-cli --tls --cacert "$tls/ca.pem" -h localhost -p "$port" -a "$password" --no-auth-warning)
    await "redis-server to answer" 10 "${cli[@]}" ping || return 1
    [ "$1" = redirect ] && { "${cli[@]}" cluster addslotsrange 0 16383 >/dev/null
        await "the cluster to be ok" 10 sh -c "$(printf '%q ' "${cli[@]}") cluster info | grep -q state:ok" || return 1; }
    cat >"$DIR/service.json" <<JSON
{"uri": "rediss://default:$password@localhost:$port", "host": "localhost", "port": $port, "user": "default",
 "password": "$password", "ca": "$tls/ca.pem", "plan": "startup",
 "nodes": [{"id": 1, "pid": $pid, "role": "primary", "client_addr": "127.0.0.1:$port"}]}
JSON
    export PONTOON_SERVICE="$DIR/service.json" PONTOON_FAILOVER=0
}

roles_are_settled() {
    python3 - "$DIR/service/service.json" <<'PY'
import json, sys
nodes = json.load(open(sys.argv[1]))["nodes"]
sys.exit(sorted(n["role"] for n in nodes) != ["primary", "standby", "standby"])
PY
}
start_pontoon() { # MODE
    local bin="${PONTOON_BIN:?PONTOON_BIN must name the binary under test}" more=()
    [ "$1" = redirect ] && more=(--set redirect=true)
    [ "$1" = unrestricted ] && more=(--unrestricted)
    "$bin" dev --plan premium --dir "$DIR/service" --port "$(free_port)" "${more[@]}" >"$DIR/log" 2>&1 </dev/null &
    pid=$!
    await "a primary and two standbys" 60 roles_are_settled || return 1
    export PONTOON_SERVICE="$DIR/service/service.json" PONTOON_FAILOVER=1
}

field() { python3 -c 'import json, os, sys; print(json.load(open(os.environ["PONTOON_SERVICE"]))[sys.argv[1]])' "$1"; }
