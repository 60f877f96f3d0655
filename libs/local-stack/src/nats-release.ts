/** Where an official nats-server release is downloaded from, and what it must hash to. */
export type NatsRelease = {
  version: string;
  /** The archive of a platform is `<baseUrl>/nats-server-v<version>-<platform>.tar.gz`. */
  baseUrl: string;
  /** SHA-256 of the archive, by platform in NATS' own words ("linux-amd64"). */
  sha256: Record<string, string>;
};

const version = '2.12.15';

/**
 * The release we pin. Only platforms whose sum is published by somebody else than the download itself:
 * the sums are those of Docker's official image `nats:2.12.15-alpine3.22`, as recorded in
 * github.com/docker-library/repo-info, repos/nats/remote/2.12.15-alpine3.22.md, commit
 * 1269962d35280ac6f0b1cb27f5532b92ffdfda80.
 */
export const pinnedRelease: NatsRelease = {
  version,
  baseUrl: `https://github.com/nats-io/nats-server/releases/download/v${version}`,
  sha256: {
    'linux-amd64': '58ab8131f819263897e2fc38e503e1b755b63bcafeecc7d12582487df48ca15e',
    'linux-arm64': 'b724db99fefbf8f5c808baa82819ee50350aee9734017e4a478f7e545cef3ab6',
    'linux-ppc64le': '56447e72ec0551fa27a4368388dee475e028d4d5de6d97a802d944c6f278cf1e',
    'linux-s390x': '5db960be875da499f1354f41c0a7780303fb9644cf62d35022677e77b4178029',
  },
};

/** This machine in NATS' words. */
export function natsPlatform(platform = process.platform, arch: string = process.arch): string {
  const names: Record<string, string> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' };
  return `${platform === 'win32' ? 'windows' : platform}-${names[arch] ?? arch}`;
}
