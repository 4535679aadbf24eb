// As much of an OpenID provider as signing in needs: it knows one person, asks nothing, and signs RS256.
import { createHash, createSign, generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";

const encode = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

/** `claims`: who it is. The browser is sent back to `backTo()`, whatever address it was asked for. */
export async function startProvider({ client, claims, backTo }) {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const asked = new Map();
  let issuer = "";

  const idToken = (nonce) => {
    const now = Math.floor(Date.now() / 1000);
    const head = encode({ alg: "RS256", typ: "JWT", kid: "one" });
    const body = encode({ iss: issuer, aud: client, iat: now, exp: now + 600, nonce, ...claims });
    return `${head}.${body}.${createSign("RSA-SHA256").update(`${head}.${body}`).sign(privateKey, "base64url")}`;
  };

  async function answer(request, response) {
    const { pathname, searchParams } = new URL(request.url, issuer);
    let text = "";
    for await (const part of request) text += part;
    const json = (body, status = 200) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    if (pathname === "/.well-known/openid-configuration") {
      return json({
        issuer,
        authorization_endpoint: `${issuer}/auth`,
        token_endpoint: `${issuer}/token`,
        jwks_uri: `${issuer}/keys`,
        id_token_signing_alg_values_supported: ["RS256"],
      });
    }
    if (pathname === "/keys") return json({ keys: [{ ...publicKey.export({ format: "jwk" }), kid: "one", use: "sig", alg: "RS256" }] });
    if (pathname === "/auth") {
      const code = Math.random().toString(36).slice(2);
      asked.set(code, Object.fromEntries(searchParams));
      const back = new URL(backTo());
      back.search = new URLSearchParams({ code, state: searchParams.get("state") });
      return response.writeHead(303, { location: back.href }).end();
    }
    const form = new URLSearchParams(text);
    const was = asked.get(form.get("code"));
    const challenge = createHash("sha256").update(form.get("code_verifier") ?? "").digest("base64url");
    if (pathname !== "/token" || was?.code_challenge !== challenge) return json({ error: "invalid_grant" }, 400);
    return json({ token_type: "Bearer", access_token: "-", id_token: idToken(was.nonce) });
  }

  const server = createServer((request, response) => void answer(request, response)).listen(0, "127.0.0.1");
  await once(server, "listening");
  server.unref();
  issuer = `http://127.0.0.1:${server.address().port}`;
  return { issuer };
}
