import { Socket } from 'node:net';
import { startDecisioning } from '@prequal/decisioning';
import { startGateway } from '@prequal/gateway';
import { startScoring } from '@prequal/scoring';

/**
 * A real service in a process of its own that dies, as by SIGKILL, just before it sends something for the
 * nth time after it was told to. Every step whose effect anybody can see ends with something being sent: a
 * statement, a message, an acknowledgement, an answer.
 *
 *   node dying-service.ts <gateway|scoring|decisioning>
 */
const starters = { gateway: startGateway, scoring: startScoring, decisioning: startDecisioning };
const name = process.argv[2] as keyof typeof starters;

let left = Number.POSITIVE_INFINITY;
// oxlint-disable-next-line typescript/unbound-method -- it is bound again to the socket that is written to
const { write } = Socket.prototype;
Socket.prototype.write = function dieOrWrite(this: Socket, ...given: unknown[]): boolean {
  left -= 1;
  if (left <= 0) process.kill(process.pid, 'SIGKILL');
  return Reflect.apply(write, this, given) as boolean;
};

await using service = await starters[name](process.env);
process.on('message', (dieAt) => {
  left = Number(dieAt);
  process.send?.('armed');
});
process.send?.({ listening: service.url });
await new Promise((resolve) => process.once('disconnect', resolve));
