// The stock OpenFeature providers of npm against a running hoist: node clients.mjs BASE_URL SRV_TOKEN CLI_TOKEN
//
// It prints one line of JSON per thing that happens and reads commands from standard input, so that a test can change
// flags in between: "ask" evaluates with both providers, "again" fetches with the same context, "end" stops.
import { createInterface } from 'node:readline';
import { EventSource } from 'eventsource';
import { OpenFeature as Server } from '@openfeature/server-sdk';
import { OpenFeature as Web, ProviderEvents } from '@openfeature/web-sdk';
import { OFREPProvider } from '@openfeature/ofrep-provider';
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';

globalThis.EventSource = EventSource; // Node 20 has none

const [baseUrl, serverToken, clientToken] = process.argv.slice(2);
const bearer = (token) => [['Authorization', `Bearer ${token}`]];
const say = (line) => console.log(JSON.stringify(line));
const fetchImplementation = async (input, init) => {
  const response = await fetch(input, init);
  say({ event: 'fetched', status: response.status });
  return response;
};

await Server.setProviderAndWait(new OFREPProvider({ baseUrl, headers: bearer(serverToken) }));
const server = Server.getClient();
await Web.setContext({ targetingKey: 'user-1' });
await Web.setProviderAndWait(new OFREPWebProvider({ baseUrl, headers: bearer(clientToken), fetchImplementation, cacheMode: 'disabled' }));
const web = Web.getClient();

const ask = async (event, more = {}) => {
  const onServer = await server.getStringDetails('checkout', 'in-code', { targetingKey: 'user-1' });
  const onWeb = web.getStringDetails('checkout', 'in-code');
  say({ event, server: onServer.value, web: onWeb.value, reason: onServer.reason, variant: onWeb.variant, ...more });
};
web.addHandler(ProviderEvents.ConfigurationChanged, (d) => ask('changed', { flags: d.flagsChanged }));
web.addHandler(ProviderEvents.Stale, () => say({ event: 'stale' }));
await ask('ready');

for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'ask') await ask('asked');
  if (line === 'again') await Web.setContext({ targetingKey: 'user-1' });
  if (line === 'end') break;
}
await Web.close();
await Server.close();
process.exit(0);
