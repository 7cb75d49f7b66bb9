package com.berthdata.berth.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SecretsTest {
  @ParameterizedTest
  @ValueSource(strings = {
    "spark.authenticate.secret", "spark.mesos.secret", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "spark.ssl.keyStorePassword",
    "PGPASSWD", "GITHUB_TOKEN", "spark.hadoop.fs.s3a.access.key", "API_KEY", "javax.net.ssl.trustStorePassword", "MY_CREDENTIALS",
    "fs.azure.account.key.x", "KAFKA_JAAS", "private-key",
  })
  void namesOfSecrets(String name) {
    Secrets s = new Secrets("");
    assertFalse(s.allows(name, "x", "shown"));
    assertEquals(new ArrayList<>(Arrays.asList("shown")), new ArrayList<>(s.withheld()));
  }

  @ParameterizedTest
  @ValueSource(strings = {
    "spark.mesos.constraints", "spark.executor.memory", "JAVA_HOME", "spark.authenticate", "spark.authenticate.secretBitLength",
    "spark.authenticate.secret.file", "spark.network.timeout", "spark.dynamicAllocation.minExecutors", "KEYBOARD",
  })
  void namesOfNone(String name) {
    Secrets s = new Secrets("");
    assertTrue(s.allows(name, "value", name), name);
    assertTrue(s.withheld().isEmpty());
  }

  @Test
  void valuesThatCarryCredentials() {
    Secrets s = new Secrets("");
    assertFalse(s.allows("DB", "jdbc:postgresql://user:geheim@db/x", "env:DB"));
    assertFalse(s.allows("DB2", "jdbc:x;password=geheim", "env:DB2"));
    assertFalse(s.allows("CERT", "-----BEGIN RSA PRIVATE KEY-----", "env:CERT"));
    assertTrue(s.allows("URL", "http://host:80/a@b", "env:URL"));
    assertTrue(s.allows("PATH", "/opt/tokenizer.jar", "env:PATH"), "a name of a secret in a value is none");
    assertEquals("[env:CERT, env:DB, env:DB2]", s.withheld().toString());
  }

  @Test
  void argumentsOfTheJvm() {
    Secrets s = new Secrets("");
    assertTrue(s.allowsArgument("-Dspark.driver.port=4711"));
    assertTrue(s.allowsArgument("--add-opens=java.base/java.lang=ALL-UNNAMED"));
    assertTrue(s.allowsArgument("-XX:+UseG1GC"));
    assertFalse(s.allowsArgument("-Djavax.net.ssl.keyStorePassword=geheim"));
    assertFalse(s.allowsArgument("-Ddb=jdbc:x://u:geheim@h/"));
    assertFalse(s.allowsArgument("-javaagent:/a.jar=password=geheim"));
    assertEquals("[-Ddb, -Djavax.net.ssl.keyStorePassword, -javaagent]", s.withheld().toString());
    assertFalse(s.withheld().toString().contains("geheim"));
  }

  @Test
  void theUsersOwnRuleComesOnTop() {
    Secrets s = new Secrets("(?i)internal");
    assertFalse(s.allows("spark.mesos.INTERNAL.thing", "x", "a"));
    assertFalse(s.allows("spark.mesos.secret", "x", "b"), "ours stays");
    assertTrue(s.allows("spark.mesos.role", "internal", "c"));
    assertThrows(IllegalArgumentException.class, () -> new Secrets("("));
  }
}
