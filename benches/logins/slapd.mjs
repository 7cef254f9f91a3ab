// A slapd with 8,000 people in 800 tenants, loaded by slapadd, on a free port over TLS.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { USHER, freePorts } from "../../tests/support/gateway.mjs";
import { eventually } from "../../tests/support/waiting.mjs";

export const BASE = "dc=example,dc=com";
export const SERVICE = { dn: `cn=gateway,${BASE}`, password: "the service account's" };
const TENANTS = 800;
const PEOPLE_OF_EACH = 10;

/** Everybody, neighbours being of different tenants. */
export const PEOPLE = Array.from({ length: TENANTS * PEOPLE_OF_EACH }, (_, at) => {
  const tenant = `t${String(at % TENANTS).padStart(3, "0")}`;
  const name = `${tenant}-${Math.floor(at / TENANTS)}`;
  return { name, tenant, dn: `uid=${name},ou=${tenant},ou=People,${BASE}`, password: `password of ${name}` };
});

/** Starts it; returns `{ url, authority, pid, stop }`. */
export async function startSlapd() {
  const folder = mkdtempSync(join(tmpdir(), "usher-slapd-"));
  const [port] = await freePorts(1);
  execFileSync(USHER, ["dev-certificates", join(folder, "certs")]);
  mkdirSync(join(folder, "data"));
  writeFileSync(join(folder, "slapd.conf"), configuration(folder));
  writeFileSync(join(folder, "people.ldif"), ldif());
  execFileSync(program("slapadd"), ["-q", "-f", join(folder, "slapd.conf"), "-l", join(folder, "people.ldif")]);
  // Not by the name localhost: OpenLDAP's clients take that for the name of this machine.
  const url = `ldaps://127.0.0.1:${port}`;
  const child = spawn(program("slapd"), ["-d", "0", "-f", join(folder, "slapd.conf"), "-h", url], { stdio: "ignore" });
  await eventually("slapd answers", async () => {
    if (child.exitCode !== null) throw new Error(`slapd ended with ${child.exitCode}`);
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    socket.destroy();
    return true;
  });
  const stop = async () => {
    const ended = once(child, "exit");
    child.kill("SIGTERM");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  return { url, authority: join(folder, "certs/ca.crt"), pid: child.pid, stop };
}

/** Debian keeps slapd where not everybody's PATH leads. */
function program(name) {
  return [`/usr/sbin/${name}`, `/usr/bin/${name}`].find(existsSync) ?? name;
}

function configuration(folder) {
  const schemas = ["core", "cosine", "nis", "inetorgperson"].map((name) => `include /etc/ldap/schema/${name}.schema`);
  return `${schemas.join("\n")}
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCertificateFile ${folder}/certs/tls.crt
TLSCertificateKeyFile ${folder}/certs/tls.key
TLSCACertificateFile ${folder}/certs/ca.crt
database mdb
suffix "${BASE}"
directory ${folder}/data
maxsize 268435456
index objectClass,uid eq
access to attrs=userPassword by anonymous auth by * none
access to * by * read
`;
}

function ldif() {
  const entries = [
    [BASE, "objectClass: dcObject", "objectClass: organization", "dc: example", "o: example"],
    [`ou=People,${BASE}`, "objectClass: organizationalUnit", "ou: People"],
    [
      SERVICE.dn,
      "objectClass: organizationalRole",
      "objectClass: simpleSecurityObject",
      "cn: gateway",
      `userPassword: ${SERVICE.password}`,
    ],
  ];
  for (const tenant of new Set(PEOPLE.map((person) => person.tenant))) {
    entries.push([`ou=${tenant},ou=People,${BASE}`, "objectClass: organizationalUnit", `ou: ${tenant}`]);
  }
  for (const { name, dn, password } of PEOPLE) {
    entries.push([dn, "objectClass: inetOrgPerson", `uid: ${name}`, `cn: ${name}`, `sn: ${name}`, `userPassword: ${password}`]);
  }
  return entries.map(([dn, ...lines]) => [`dn: ${dn}`, ...lines, ""].join("\n")).join("\n");
}
