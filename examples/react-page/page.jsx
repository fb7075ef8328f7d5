// A page that changes by itself when the flag new-checkout does:
//
//   hoist dev examples/shop
//   npm install && npm start
//   open http://127.0.0.1:8082?token=TOKEN, where TOKEN is what this prints:
//   hoist token create --kind cli --origin http://127.0.0.1:8082
//   then: hoist flag kill new-checkout
import { createRoot } from 'react-dom/client';
import { OpenFeature, OpenFeatureProvider, useBooleanFlagDetails } from '@openfeature/react-sdk';
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';

const asked = new URLSearchParams(location.search);
const baseUrl = asked.get('hoist') ?? 'http://127.0.0.1:7700';
const token = asked.get('token'); // of kind cli: it shows results of client-visible flags and nothing else, so a page may hold it
await OpenFeature.setContext({ targetingKey: 'ann', email: 'ann@shop.example' });
OpenFeature.setProvider(new OFREPWebProvider({ baseUrl, headers: [['Authorization', `Bearer ${token}`]] }));

function Checkout() {
  const { value, reason, variant } = useBooleanFlagDetails('new-checkout', false);
  return (
    <main>
      <h1>{value ? 'The new checkout' : 'The checkout you know'}</h1>
      <p>
        variant {variant ?? 'none'}, because of {reason}
      </p>
    </main>
  );
}

createRoot(document.getElementById('root')).render(
  <OpenFeatureProvider suspend={false}>
    <Checkout />
  </OpenFeatureProvider>,
);
