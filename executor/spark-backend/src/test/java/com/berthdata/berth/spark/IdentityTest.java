package com.berthdata.berth.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.InputStream;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class IdentityTest {
  @TempDir Path dir;

  private static Map<String, String> env(String... more) {
    Map<String, String> env = new HashMap<>();
    env.put(Identity.APP_ID, "app-1");
    env.put(Identity.ATTEMPT_ID, "3");
    env.put(Identity.TOKEN, "s3cr3t");
    for (int i = 0; i < more.length; i += 2) {
      env.put(more[i], more[i + 1]);
    }
    return env;
  }

  @Test
  void comesFromTheEnvironmentAlone() {
    Identity id = Identity.of(env(Identity.TASK_ID, "app-1.3"), "spark-berth://a:1,b:2");
    assertEquals("app-1", id.appId);
    assertEquals(3, id.attemptId);
    assertEquals("app-1.3", id.taskId);
    assertEquals("s3cr3t", id.token.current());
    assertEquals(Arrays.asList("http://a:1", "http://b:2"), id.addresses);
    id = Identity.of(env(Identity.URLS, "https://c:3/, http://[::1]:4"), "spark-berth://a:1");
    assertEquals(Arrays.asList("https://c:3", "http://[::1]:4"), id.addresses, "the environment wins over the master URL");
  }

  @ParameterizedTest
  @CsvSource({
    "BERTH_SPARK_APP_ID,''", "BERTH_SPARK_APP_ID,a/b", "BERTH_SPARK_APP_ID,-a",
    "BERTH_SPARK_ATTEMPT_ID,''", "BERTH_SPARK_ATTEMPT_ID,0", "BERTH_SPARK_ATTEMPT_ID,x", "BERTH_SPARK_ATTEMPT_ID,99999999999",
    "BERTH_SPARK_TOKEN,''", "BERTH_SPARK_TOKEN,a b",
    "BERTH_SPARK_URLS,ftp://a:1", "BERTH_SPARK_URLS,http://u:p@a:1", "BERTH_SPARK_URLS,http://a:1/x", "BERTH_SPARK_URLS,a:1",
  })
  void whatIsWrongIsNamed(String name, String value) {
    Exception e = assertThrows(IllegalStateException.class, () -> Identity.of(env(name, value), "spark-berth://a:1"));
    assertTrue(e.getMessage().contains(name), e.getMessage());
  }

  @Test
  void noAddressAtAll() {
    assertThrows(IllegalStateException.class, () -> Identity.of(env(), "spark-berth://"));
  }

  @Test
  void tokenFileOfTheOwnerAlone() throws Exception {
    Path file = dir.resolve("token");
    Files.write(file, "first\n".getBytes());
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-r-----"));
    Map<String, String> env = env(Identity.TOKEN_FILE, file.toString());
    Exception e = assertThrows(IllegalStateException.class, () -> Identity.of(env, "spark-berth://a:1"));
    assertTrue(e.getMessage().contains("0600"), e.getMessage());
    assertFalse(e.getMessage().contains("first"), "the token is in no message");

    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-------"));
    TokenSource token = Identity.of(env, "spark-berth://a:1").token;
    assertEquals("first", token.current(), "the file wins");
    Files.write(file, "second".getBytes());
    assertEquals("second", token.current(), "it is read again");
    Files.delete(file);
    assertEquals("second", token.current(), "a file that is gone for a moment changes nothing");
    assertThrows(IllegalStateException.class, () -> TokenSource.ofFile(file.toString()));
  }

  /** As Berth's executor hands it over: an inherited descriptor of a file that has no name. */
  @Test
  void tokenFileThatHasNoName() throws Exception {
    Path file = dir.resolve("token");
    Files.write(file, "nameless".getBytes());
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-------"));
    try (InputStream open = Files.newInputStream(file); DirectoryStream<Path> fds = Files.newDirectoryStream(Paths.get("/proc/self/fd"))) {
      Files.delete(file);
      Path found = null;
      for (Path fd : fds) {
        if (Files.isSymbolicLink(fd) && Files.readSymbolicLink(fd).toString().startsWith(file.toString())) {
          found = fd;
        }
      }
      TokenSource token = TokenSource.ofFile(found.toString());
      assertEquals("nameless", token.current());
      assertEquals("nameless", token.current());
      assertEquals('n', open.read());
    }
  }
}
