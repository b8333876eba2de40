# The bases are pinned by name and version. A digest pins them to the byte; it is what
# `docker buildx imagetools inspect NAME:TAG` shows, and goes behind the tag: NAME:TAG@sha256:…
FROM docker.io/library/rust:1.95.0-slim-bookworm AS build
WORKDIR /build

# Writes into the binary what it was built of: `cargo audit bin` and other scanners read it there.
RUN cargo install --locked cargo-auditable@0.7.7

# The dependencies, built behind a program that does nothing: a layer that lasts until Cargo.toml
# or Cargo.lock changes. Cargo goes by file times, and the real sources may be older than the
# stand-in; so what was built of that is removed again, lest it be taken for them.
COPY Cargo.toml Cargo.lock ./
COPY crates/rocket_server_sessions/Cargo.toml crates/rocket_server_sessions/
COPY crates/test_support/Cargo.toml crates/test_support/
RUN mkdir -p src crates/rocket_server_sessions/src crates/test_support/src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs crates/rocket_server_sessions/src/lib.rs crates/test_support/src/lib.rs \
    && cargo auditable build --locked --release --bin cloud-run-sessions \
    && cargo clean --locked --release --package cloud-run-sessions --package rocket_server_sessions

COPY crates/rocket_server_sessions crates/rocket_server_sessions
COPY src src
RUN cargo auditable build --locked --release --bin cloud-run-sessions

# It has libc and certificates, and neither a shell nor a package manager. Its tags name Debian's
# version and the user; there are no others.
FROM gcr.io/distroless/cc-debian12:nonroot
WORKDIR /app
COPY --from=build /build/target/release/cloud-run-sessions ./
COPY Rocket.toml ./
COPY templates templates
COPY static static

ENV ROCKET_ADDRESS=0.0.0.0
# By number: a platform that insists on a user other than root cannot look a name up.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/app/cloud-run-sessions"]

# Where the sources are, and which commit these are: --build-arg REVISION=$(git rev-parse HEAD).
ARG SOURCE
ARG REVISION
LABEL org.opencontainers.image.title="cloud-run-sessions" \
      org.opencontainers.image.description="A Rocket application that counts page views in sessions kept in Redis" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.revision="${REVISION}"
