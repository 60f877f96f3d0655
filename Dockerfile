# NATS with our configuration. The official image runs as root because its store is then writable; a folder
# of its own, that a new volume takes its owner from, needs no root.
FROM nats:2.12-alpine AS nats
RUN install -d -o 1000 -g 1000 -m 700 /data
COPY --chmod=644 deploy/nats.conf deploy/nats-users.conf /etc/nats/
USER 1000:1000
CMD ["nats-server", "--config", "/etc/nats/nats.conf"]

# The packages of the services and of the migration, without those of development. Manifests alone, so that
# an edit of the code does not install them again.
FROM node:24-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
COPY schema/package.json schema/
COPY libs/evidence/package.json libs/evidence/
COPY libs/identity/package.json libs/identity/
COPY libs/messaging/package.json libs/messaging/
COPY libs/pan/package.json libs/pan/
COPY libs/persistence/package.json libs/persistence/
COPY libs/policy/package.json libs/policy/
COPY libs/service/package.json libs/service/
COPY gateway/package.json gateway/
COPY scoring/package.json scoring/
COPY decisioning/package.json decisioning/
# None of these packages needs an install script, so none may run one.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund --workspace gateway --workspace scoring --workspace decisioning --workspace libs/persistence

# One image for all three services and the migration; the command says which of them a container is.
FROM node:24-slim AS services
WORKDIR /app
RUN install -d -o 1000 -g 1000 -m 700 /data
# Node strips types only outside node_modules: what npm linked there to our own packages must stay a link.
COPY --from=packages /app ./
# Readable for the user below even when the working copy was made with a strict umask.
COPY --chmod=755 schema schema
COPY --chmod=755 libs libs
COPY --chmod=755 gateway gateway
COPY --chmod=755 scoring scoring
COPY --chmod=755 decisioning decisioning
# The room for young objects that Node takes by default grows with the machine's memory: 15 KB resident a watcher at
# 18,000 of them, instead of 12. Its four helpers for the garbage collector wait for one another when PostgreSQL and NATS
# have the processors: with one, an application takes 10 % less of the gateway.
ENV NODE_OPTIONS="--max-semi-space-size=32 --v8-pool-size=1"
# The user `node` of the base image, as a number, by which an orchestrator sees that it is not root.
USER 1000:1000
CMD ["node", "gateway/src/main.ts"]
