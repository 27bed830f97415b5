// An OpenID provider with a few people, over TLS on loopback: the device flow, refresh tokens, revocation.
//
// issuer.mjs '{"key": FILE, "certificate": FILE, "port_file": FILE, "lifetime": SECONDS, "people": {"anna": ["dba"]}}'

import crypto from "node:crypto";
import fs from "node:fs";
import https from "node:https";

import Provider from "oidc-provider";

const { key, certificate, port_file, lifetime, people } = JSON.parse(process.argv[2]);
const { privateKey } = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });

const account = (id) =>
  people[id] && {
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: true, groups: people[id] }),
  };

const settings = {
  clients: [
    {
      client_id: "stopover",
      application_type: "native",
      token_endpoint_auth_method: "none",
      grant_types: ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"],
      response_types: [],
      redirect_uris: [],
    },
  ],
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), kid: "first", use: "sig", alg: "RS256" }] },
  scopes: ["openid", "email", "groups", "offline_access"],
  claims: { openid: ["sub"], email: ["email", "email_verified"], groups: ["groups"] },
  // As most providers have it: what the scopes ask for stands in the ID token.
  conformIdTokenClaims: false,
  features: {
    deviceFlow: { enabled: true },
    revocation: { enabled: true },
    devInteractions: { enabled: true },
    userinfo: { enabled: false },
  },
  findAccount: async (_, id) => account(id),
  issueRefreshToken: async (_, client, code) => code.scopes.has("offline_access"),
  ttl: {
    AccessToken: lifetime,
    IdToken: lifetime,
    RefreshToken: 3600,
    DeviceCode: 120,
    Grant: 3600,
    Interaction: 600,
    Session: 600,
  },
  cookies: { keys: [crypto.randomUUID()] },
};

const server = https.createServer({ key: fs.readFileSync(key), cert: fs.readFileSync(certificate) });
server.listen(0, "127.0.0.1", () => {
  const issuer = `https://localhost:${server.address().port}`;
  const provider = new Provider(issuer, settings);
  for (const event of ["server_error", "grant.error", "revocation.error"]) {
    provider.on(event, (...args) => console.error(event, args.at(-1)));
  }
  for (const event of ["refresh_token.destroyed", "grant.revoked", "grant.success"]) {
    provider.on(event, () => console.log(event));
  }
  server.on("request", provider.callback());
  fs.writeFileSync(`${port_file}.new`, issuer);
  fs.renameSync(`${port_file}.new`, port_file);
});
