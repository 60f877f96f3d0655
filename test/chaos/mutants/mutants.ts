/** One fault in the code, as the exact replacement of a text, and the run that has to notice it. */
export type Mutant = {
  name: string;
  /** each text must stand in its file exactly once */
  edits: { file: string; from: string; to: string }[];
  run: Setting;
};

/** A run of the harness; the unchanged code must pass every one that any mutant fails. */
export type Setting = { faults: string; seconds: number; rate: number; seed: number; env: Record<string, string> };

/** The reconciler would repair what must not be lost in the first place. */
const noRepair = { RECONCILE_AFTER_MS: '600000' };

const setting = (faults: string, more: Partial<Setting> = {}): Setting => ({
  faults,
  seconds: 20,
  rate: 10,
  seed: 7,
  env: noRepair,
  ...more,
});

const processes = setting('kill,stop,term');
const brokerAway = setting('nats-kill,nats-restart,link-cut');
const gatewayAway = setting('gateway-without-nats', { rate: 30 });
const slowLinks = setting('link-delay');
const databaseAway = setting('postgres-immediate,postgres-terminate,postgres-read-only');
const gatewaysReplaced = setting('rolling-restart', { seconds: 30, rate: 20 });
const nothing = setting('none', { seconds: 10 });

export const mutants: Mutant[] = [
  {
    name: 'no flush before the snapshot',
    edits: [
      {
        file: 'gateway/src/watch-application.ts',
        from: '  await watch.subscribed;\n',
        to: '  void watch.subscribed;\n',
      },
    ],
    run: slowLinks,
  },
  {
    name: 'snapshot before subscribing',
    edits: [
      {
        file: 'gateway/src/watch-application.ts',
        from: '    const { subscribed, stop } = deps.feed.watch(id, (signal) => this.#onSignal(signal));\n    this.#stop = stop;\n    this.subscribed = subscribed;\n',
        to: '    this.#stop = () => undefined;\n    this.subscribeLate = async () => {\n      if (this.#ended) return;\n      const watching = deps.feed.watch(id, (signal) => this.#onSignal(signal));\n      this.#stop = watching.stop;\n      await watching.subscribed;\n    };\n',
      },
      {
        file: 'gateway/src/watch-application.ts',
        from: '  await watch.subscribed;\n  if (!(await watch.readUntilCurrent())) {',
        to: '  const found = await watch.readUntilCurrent();\n  await watch.subscribeLate();\n  if (!found) {',
      },
    ],
    run: slowLinks,
  },
  {
    name: 'no guard against deciding twice',
    edits: [
      {
        file: 'decisioning/src/on-credit-report-generated.ts',
        from: '    if (!isOpen(application)) return undefined;\n',
        to: '',
      },
      {
        file: 'decisioning/src/on-credit-report-generated.ts',
        from: 'current && isOpen(current)',
        to: 'current',
      },
      {
        file: 'libs/persistence/src/record-decisions.ts',
        from: "when 'POLICY' then locked.status = 'PENDING' or locked.given_up",
        to: "when 'POLICY' then true",
      },
    ],
    run: setting('replay,consumer-delete'),
  },
  {
    name: 'acknowledged before the effect is durable',
    edits: [
      {
        file: 'libs/messaging/src/settle.ts',
        from: '    try {\n      await deps.handle(known.item);',
        to: '    try {\n      message.ack();\n      await deps.handle(known.item);',
      },
    ],
    run: databaseAway,
  },
  {
    name: 'outbox row deleted before the broker has acknowledged',
    edits: [
      {
        file: 'libs/persistence/src/relay.ts',
        from: '      await publish(message);\n',
        to: '      await remove(message.id);\n      await publish(message);\n',
      },
    ],
    run: brokerAway,
  },
  {
    name: 'an exception thrown into watchers when NATS goes away',
    edits: [
      {
        file: 'gateway/src/watch-application.ts',
        from: '    if (this.#reading) this.#readAgain = true;\n',
        to: "    if (signal === 'look') this.updates.cut(new Error('NATS went away'));\n    if (this.#reading) this.#readAgain = true;\n",
      },
    ],
    run: brokerAway,
  },
  {
    name: 'streams completed on SIGTERM',
    edits: [
      {
        file: 'gateway/src/server.ts',
        from: 'map((response) => () => response.destroy()),',
        to: "map((response) => () => response.end('event: complete\\ndata:\\n\\n')),",
      },
    ],
    run: gatewaysReplaced,
  },
  {
    name: 'no reconciler, and the store is wiped',
    edits: [
      {
        file: 'libs/persistence/src/reconciler.ts',
        from: "where a.status = 'PENDING' and",
        to: "where a.status = 'NEVER' and",
      },
    ],
    run: setting('nats-wipe', { env: {} }),
  },
  {
    name: 'outages counted as failures of the message',
    edits: [
      {
        file: 'libs/persistence/src/errors.ts',
        from: '  if (!(error instanceof Error)) return false;\n',
        to: '  if (error) return false;\n',
      },
    ],
    run: databaseAway,
  },
  {
    name: 'a tiny stream that forgets its oldest messages',
    edits: [
      {
        file: 'libs/messaging/src/provision.ts',
        from: "discard: stream.discard === 'new' ? DiscardPolicy.New : DiscardPolicy.Old,",
        to: 'discard: DiscardPolicy.Old,\n      max_msgs: 2,',
      },
    ],
    run: processes,
  },
  {
    name: 'no second look after NATS is back',
    edits: [
      {
        file: 'gateway/src/status-feed.ts',
        from: '    await broker.flush();\n    lookAtAll();\n',
        to: '    await broker.flush();\n',
      },
    ],
    run: gatewayAway,
  },
  {
    name: 'updates passed on whatever was seen before',
    edits: [
      {
        file: 'gateway/src/watch-application.ts',
        from: 'if (this.#ended || (this.#last !== undefined && update.version <= this.#last)) return;',
        to: 'if (this.#ended) return;',
      },
      {
        file: 'gateway/src/watch-application.ts',
        from: 'readStatus({ id: this.#id, after: this.#last })',
        to: 'readStatus({ id: this.#id, after: undefined })',
      },
    ],
    run: brokerAway,
  },
  {
    name: 'every attempt has an idempotency key of its own',
    edits: [
      {
        file: 'gateway/src/find-earlier.ts',
        from: '.update(idempotencyKey).digest()',
        to: '.update(idempotencyKey + id).digest()',
      },
    ],
    run: nothing,
  },
  {
    name: 'equality with one forty-eighth is enough',
    edits: [
      {
        file: 'libs/policy/policies/seed-1.json',
        from: '"> incomeSharePaise"',
        to: '">= incomeSharePaise"',
      },
    ],
    run: nothing,
  },
  {
    name: 'the PAN written past the log',
    edits: [
      {
        file: 'gateway/src/submit-application.ts',
        from: 'deps.log.info({ applicationId: row.id,',
        to: 'console.log(submission.input.panNumber);\n    deps.log.info({ applicationId: row.id,',
      },
    ],
    run: nothing,
  },
  {
    name: 'subscriptions kept when the watchers have left',
    edits: [{ file: 'gateway/src/status-feed.ts', from: '      entry.unsubscribe();\n', to: '' }],
    run: nothing,
  },
  {
    name: 'a process ends when NATS goes away',
    edits: [
      {
        file: 'libs/messaging/src/connect.ts',
        from: "        log.warn('NATS is away');",
        // The harness itself has a connection of this kind, too.
        to: "        if (name !== 'chaos') throw new Error('NATS is away');",
      },
    ],
    run: brokerAway,
  },
];
