export type ServiceName = 'gateway' | 'scoring' | 'decisioning';

/** The first process of a service has its plain name, the others are numbered from 2. */
export type ServiceInstanceName = ServiceName | `${ServiceName}-${number}`;

/** How many processes of each kind the local stack runs. */
export type Topology = {
  /** 1, or 3 and more as a JetStream cluster */
  natsServers: number;
  services: Record<ServiceName, number>;
};

/** What `npm start` runs. */
export const single: Topology = { natsServers: 1, services: { gateway: 1, scoring: 1, decisioning: 1 } };

/** What `npm run start:cluster` runs: nothing is there only once, but PostgreSQL. */
export const clustered: Topology = { natsServers: 3, services: { gateway: 2, scoring: 2, decisioning: 2 } };

/** All processes of one service, in order. */
export function instancesOf(service: ServiceName, topology: Topology): ServiceInstanceName[] {
  return Array.from({ length: topology.services[service] }, (_, index) =>
    index === 0 ? service : (`${service}-${index + 1}` as const),
  );
}

/** The service that a process of the stack belongs to; undefined for the servers. */
export function serviceOf(process: string): ServiceName | undefined {
  const [service] = process.split('-');
  return service === 'gateway' || service === 'scoring' || service === 'decisioning' ? service : undefined;
}
