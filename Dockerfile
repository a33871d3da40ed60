# The image of a node, of the gateway and of the tools: one binary, one user without rights.
#
# Two ways to fill it:
#   docker build -t pontoon:local .                                   compiles Pontoon, then packs it
#   docker build -t pontoon:local --target runtime-prebuilt DIR \
#       -f Dockerfile                                                 packs DIR/pontoon, built before
# Always: what runs is the binary on BASE and nothing else; it never runs as root; all that it writes is
# below /etc/pontoon (certificates and password, made once) and /var/lib/pontoon (data).
#
# BASE is any Debian 12; without a registry, cluster/base-image makes it from Debian's packages.
ARG BASE=debian:bookworm-slim
# RUST is any image with cargo on Debian 12.
ARG RUST=rust:1-bookworm

FROM ${BASE} AS base
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/pontoon --shell /usr/sbin/nologin pontoon \
    && install -d -o pontoon -g pontoon -m 0700 /etc/pontoon /var/lib/pontoon
USER pontoon
WORKDIR /var/lib/pontoon
VOLUME ["/etc/pontoon", "/var/lib/pontoon"]
# 6379: clients, TLS. 7379: the other nodes and operators, mutual TLS.
EXPOSE 6379 7379
STOPSIGNAL SIGTERM
# A node and the gateway both serve RESP over TLS on 6379: healthy means that it answers.
HEALTHCHECK --interval=2s --timeout=3s --start-period=60s --retries=5 \
    CMD ["pontoon", "health"]
ENV PONTOON_HEALTH_ADDR=localhost:6379 PONTOON_HEALTH_CA=/etc/pontoon/ca.pem
ENTRYPOINT ["pontoon"]
CMD ["--help"]

# Docker's older builder builds every stage above its target, so this one stands above the long one. From a checkout,
# where there is no such file, it gets something that nobody looks at instead of failing.
FROM base AS runtime-prebuilt
COPY pontoo[n] prot[o] /usr/local/bin/

FROM ${RUST} AS compile
RUN command -v clang >/dev/null && command -v protoc >/dev/null \
    || { apt-get update && apt-get install -y --no-install-recommends clang libclang-dev protobuf-compiler; }
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs ./
COPY proto proto
COPY patches patches
# The dependencies first, on an empty program: RocksDB takes a quarter of an hour, and only a change of
# Cargo.lock needs it again.
RUN mkdir src && echo 'fn main() {}' > src/main.rs && touch src/lib.rs \
    && cargo build --release --locked && rm -r src
COPY src src
RUN touch src/main.rs src/lib.rs && cargo build --release --locked --bin pontoon \
    && install -D target/release/pontoon /out/pontoon

FROM base AS runtime
COPY --from=compile /out/pontoon /usr/local/bin/pontoon
