import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { chooseServicePorts, readStackConfig } from './config.ts';
import { freePort, isPortFree } from './ports.ts';
import { serviceEnv } from './stack-services.ts';

test('without any variable it is the documented defaults, the data folder below the repository', () => {
  expect(readStackConfig({}, '/repo')).toEqual({
    gatewayHost: '127.0.0.1',
    ports: { gateway: 4000, scoring: 4001, decisioning: 4002 },
    postgresPort: 0,
    natsPort: 0,
    databaseUrl: undefined,
    databaseUrls: { gateway: undefined, decisioning: undefined },
    databaseTls: undefined,
    natsUrl: undefined,
    natsUrls: { gateway: undefined, scoring: undefined, decisioning: undefined },
    dataDir: '/repo/.data',
    compileCacheDir: '/repo/.data/cache/compiled',
    logLevel: 'info',
  });
});

test('every wrong variable is named at once', () => {
  expect(() => readStackConfig({ GATEWAY_PORT: 'x', LOG_LEVEL: 'loud' }, '/repo')).toThrow(
    /GATEWAY_PORT[\s\S]*LOG_LEVEL/,
  );
});

test('port 0 becomes a free one that a restarted service keeps', async () => {
  const config = readStackConfig({ GATEWAY_PORT: '0', SCORING_PORT: '0', DECISIONING_PORT: '0' }, '/repo');
  const ports = await chooseServicePorts(config);
  for (const port of Object.values(ports)) expect(await isPortFree(port)).toBe(true);
});

test('no port is promised twice before anybody listens on it', async () => {
  const ports: number[] = [];
  // With so many of the range, chance alone would give one of them twice.
  while (ports.length < 1_000) ports.push(await freePort());
  expect(new Set(ports).size).toBe(ports.length);
});

test('an occupied port is an error that names the variable', async () => {
  const other = createServer();
  await new Promise<void>((resolve) => {
    other.listen(0, '127.0.0.1', resolve);
  });
  const SCORING_PORT = String((other.address() as AddressInfo).port);
  const config = readStackConfig({ GATEWAY_PORT: '0', SCORING_PORT, DECISIONING_PORT: '0' }, '/repo');
  await expect(chooseServicePorts(config)).rejects.toThrow(new RegExp(`Port ${SCORING_PORT} .* SCORING_PORT`));
  await new Promise((resolve) => {
    other.close(resolve);
  });
});

test('one port for two services is refused', async () => {
  const port = String(await freePort());
  const config = readStackConfig({ GATEWAY_PORT: port, SCORING_PORT: port, DECISIONING_PORT: '0' }, '/repo');
  await expect(chooseServicePorts(config)).rejects.toThrow(/GATEWAY_PORT and SCORING_PORT are both/);
});

test('each service gets what it needs and none of what it has no business with', () => {
  const keys = { PAN_ENCRYPTION_KEYS: 'e', PAN_INDEX_KEYS: 'i' };
  const config = readStackConfig({}, '/repo');
  const of = (name: 'gateway' | 'scoring' | 'decisioning') =>
    serviceEnv(name, {
      env: {
        ...keys,
        BUREAU_TOKEN: 'b',
        OTHER: 'kept',
        DECISIONING_DATABASE_URL: 'x',
        OPERATOR_DATABASE_URL: 'x',
        SCORING_NATS_URL: 'x',
      },
      config,
      ports: config.ports,
      databaseUrls: { gateway: 'd-gateway', decisioning: 'd-decisioning' },
      natsUrls: { gateway: 'n-gateway', scoring: 'n-scoring', decisioning: 'n-decisioning' },
      syntheticToken: 't',
    });
  expect(of('gateway')).toMatchObject({
    ...keys,
    SYNTHETIC_TOKEN: 't',
    DATABASE_URL: 'd-gateway',
    NATS_URL: 'n-gateway',
    GATEWAY_PORT: '4000',
  });
  expect(of('scoring')).toMatchObject({
    PAN_ENCRYPTION_KEYS: 'e',
    BUREAU_TOKEN: 'b',
    NATS_URL: 'n-scoring',
    OTHER: 'kept',
  });
  expect(of('decisioning')).toMatchObject({ DATABASE_URL: 'd-decisioning', NATS_URL: 'n-decisioning', OTHER: 'kept' });
  const names = (name: Parameters<typeof of>[0]) => Object.keys(of(name));
  for (const secret of ['DATABASE_URL', 'PAN_INDEX_KEYS', 'SYNTHETIC_TOKEN'])
    expect(names('scoring')).not.toContain(secret);
  for (const secret of [...Object.keys(keys), 'SYNTHETIC_TOKEN', 'BUREAU_TOKEN'])
    expect(names('decisioning')).not.toContain(secret);
  expect(names('gateway')).not.toContain('BUREAU_TOKEN');
  for (const name of ['gateway', 'scoring', 'decisioning'] as const)
    expect(names(name).filter((variable) => /_(DATABASE|NATS)_URL$/.test(variable))).toEqual([]);
});

test('TLS is refused where npm start does not use it, and a service has its own user of a given NATS', () => {
  expect(() => readStackConfig({ NATS_TLS_CA_FILE: 'x', DATABASE_TLS_CA_FILE: 'x' }, '/repo')).toThrow(
    /DATABASE_TLS_CA_FILE: is only used with DATABASE_URL\n +NATS_TLS_CA_FILE: is only used with NATS_URL/,
  );
  expect(() => readStackConfig({ GATEWAY_TLS_CERT_FILE: 'x' }, '/repo')).toThrow(
    /GATEWAY_TLS_CERT_FILE: is not used by npm start/,
  );
  const given = { NATS_URL: 'nats://x:4222', NATS_TLS_CA_FILE: 'x', SCORING_NATS_URL: 'nats://scoring:s@x:4222' };
  expect(readStackConfig(given, '/repo')).toMatchObject({
    natsUrl: 'nats://x:4222',
    natsUrls: { gateway: undefined, scoring: 'nats://scoring:s@x:4222', decisioning: undefined },
  });
});
