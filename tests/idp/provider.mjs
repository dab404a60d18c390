// A certified OpenID provider (npm's oidc-provider) for `make test-idp`. A new key at each start, so that a
// restart is a rotation. Its development pages sign in whoever gives a name.
// node provider.mjs PORT GATEWAY_PORT
import crypto from 'node:crypto';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(process.cwd() + '/');
const { Provider } = await import(pathToFileURL(require.resolve('oidc-provider')));
const [port, gateway] = process.argv.slice(2);
const key = crypto.generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
const here = `http://127.0.0.1:${gateway}/.sallyport/oidc`;

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{
    client_id: 'sallyport',
    client_secret: 'a secret/with+signs&=',
    redirect_uris: [`${here}/corp/callback`],
    post_logout_redirect_uris: [`${here}/out`],
    grant_types: ['authorization_code', 'refresh_token'],
    backchannel_logout_uri: `${here}/corp/backchannel`,
    backchannel_logout_session_required: true,
  }],
  jwks: { keys: [{ ...key, kid: crypto.randomUUID(), use: 'sig', alg: 'RS256' }] },
  cookies: { keys: ['of this test'] },
  features: { backchannelLogout: { enabled: true } },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
  scopes: ['openid', 'offline_access', 'email', 'groups'],
  // By itself it tells nobody on this machine of a logout.
  fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
  pkce: { required: () => true },
  ttl: { AccessToken: 4, IdToken: 600, Grant: 3600, Interaction: 600, Session: 3600, RefreshToken: 3600 },
  findAccount: (_, id) => ({
    accountId: id,
    claims: async () => ({ sub: id, email: `${id}@example.org`, email_verified: true, groups: ['staff'] }),
  }),
});
for (const event of ['server_error', 'backchannel.error', 'grant.error', 'authorization.error']) {
  provider.on(event, (...rest) => console.error(event, ...rest.slice(1)));
}
provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
