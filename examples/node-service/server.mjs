// Greets with what the flag new-checkout says, asked of a hoist server or edge for every request:
//
//   hoist dev examples/shop
//   npm install && HOIST_TOKEN=$(hoist token create --kind srv) npm start
//   curl localhost:8081
import { createServer } from 'node:http';
import { OpenFeature } from '@openfeature/server-sdk';
import { OFREPProvider } from '@openfeature/ofrep-provider';

const baseUrl = `http://${process.env.HOIST_ADDR ?? '127.0.0.1:7700'}`;
await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl, headers: [['Authorization', `Bearer ${process.env.HOIST_TOKEN}`]] }));
const flags = OpenFeature.getClient();

const port = process.env.PORT ?? 8081;
createServer(async (request, response) => {
  const user = new URL(request.url, 'http://localhost').searchParams.get('user') ?? 'ann';
  const d = await flags.getBooleanDetails('new-checkout', false, { targetingKey: user, email: `${user}@shop.example` });
  response.end(`${user}: new checkout is ${d.value} (${d.reason}, variant ${d.variant})\n`);
}).listen(port, '127.0.0.1', () => console.log(`listening on 127.0.0.1:${port}`));
