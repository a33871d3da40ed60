//! Ready-to-paste lines for drivers. Each verifies the server by `ca.pem`.

use crate::console::model::Connection;

/// By name, in the order in which they are shown.
pub fn all(c: &Connection) -> Vec<(&'static str, String)> {
    let Connection {
        uri,
        host,
        port,
        user,
        password,
        ..
    } = c;
    vec![
        ("redis-cli", format!("redis-cli --cacert ca.pem -u {uri}")),
        (
            "Python (redis-py)",
            format!(
                "import redis\n\nr = redis.Redis.from_url(\"{uri}\", ssl_ca_certs=\"ca.pem\")\nr.set(\"greeting\", \"hello\")\nprint(r.get(\"greeting\"))"
            ),
        ),
        (
            "Node.js (ioredis)",
            format!(
                "const fs = require(\"fs\");\nconst Redis = require(\"ioredis\");\n\nconst redis = new Redis(\"{uri}\", {{ tls: {{ ca: fs.readFileSync(\"ca.pem\") }} }});\nredis.set(\"greeting\", \"hello\").then(() => redis.get(\"greeting\")).then(console.log);"
            ),
        ),
        (
            "Go (go-redis)",
            format!(
                "pem, err := os.ReadFile(\"ca.pem\")\nif err != nil {{\n\tpanic(err)\n}}\nroots := x509.NewCertPool()\nroots.AppendCertsFromPEM(pem)\noptions, err := redis.ParseURL(\"{uri}\")\nif err != nil {{\n\tpanic(err)\n}}\noptions.TLSConfig.RootCAs = roots\nclient := redis.NewClient(options)"
            ),
        ),
        (
            "Java (Jedis)",
            format!(
                "// keytool -importcert -noprompt -alias pontoon -file ca.pem -keystore ca.p12 -storepass changeit\n// java -Djavax.net.ssl.trustStore=ca.p12 -Djavax.net.ssl.trustStorePassword=changeit ...\nDefaultJedisClientConfig config = DefaultJedisClientConfig.builder()\n    .user(\"{user}\").password(\"{password}\").ssl(true).build();\nJedisPooled jedis = new JedisPooled(new HostAndPort(\"{host}\", {port}), config);"
            ),
        ),
        (
            "Rust (redis)",
            format!(
                "let certificates = redis::TlsCertificates {{\n    client_tls: None,\n    root_cert: Some(std::fs::read(\"ca.pem\")?),\n}};\nlet client = redis::Client::build_with_tls(\"{uri}\", certificates)?;\nlet mut connection = client.get_connection()?;"
            ),
        ),
    ]
}
