# Phantom's worker and CLI, in an image without a shell, as an unprivileged user.
#
#   docker build -t phantom:local .

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ENV CGO_ENABLED=0
RUN go build -trimpath -ldflags '-s -w' -o /out/ ./worker ./starter \
 && mv /out/worker /out/phantom-worker && mv /out/starter /out/phantom \
 && install -d -o 65532 -g 65532 /state/.phantom

FROM gcr.io/distroless/static-debian12:nonroot
LABEL org.opencontainers.image.title="phantom" \
      org.opencontainers.image.description="Carries machine-learning models through their life" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/phantom /out/phantom-worker /usr/local/bin/
# State is written under the working directory. A volume that is mounted there takes this owner.
COPY --from=build --chown=65532:65532 /state /phantom
WORKDIR /phantom
EXPOSE 8300 8301 8302 9464
ENTRYPOINT ["/usr/local/bin/phantom-worker"]
