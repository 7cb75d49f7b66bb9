package com.berthdata.berth.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.security.KeyStore;
import java.util.Arrays;
import java.util.Collections;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@Timeout(60)
class ApiTest {
  private static final String TOKEN = "t0ken-0f-this-test";

  @TempDir Path dir;

  private static Api api(String... addresses) {
    return new Api(Arrays.asList(addresses), TokenSource.ofValue(TOKEN), Trust.of(""));
  }

  private static CompletableFuture<JsonNode> call(Api api) {
    return call(api, 10_000);
  }

  private static CompletableFuture<JsonNode> call(Api api, long answerMs) {
    ObjectNode body = JsonNodeFactory.instance.objectNode().put("a", "ü");
    CompletableFuture<JsonNode> f = new CompletableFuture<>();
    new Thread(() -> {
      try {
        f.complete(api.call("PUT", "/x", body, answerMs));
      } catch (Throwable e) {
        f.completeExceptionally(e);
      }
    }).start();
    return f;
  }

  private static ApiException failure(CompletableFuture<JsonNode> f) throws Exception {
    ExecutionException e = assertThrows(ExecutionException.class, () -> f.get(30, TimeUnit.SECONDS));
    assertTrue(e.getCause() instanceof ApiException, String.valueOf(e.getCause()));
    assertFalse(e.getCause().getMessage().contains(TOKEN), "the token is in no message");
    return (ApiException) e.getCause();
  }

  private static String closedAddress() throws Exception {
    try (ServerSocket s = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      return "http://127.0.0.1:" + s.getLocalPort();
    }
  }

  @Test
  void sendsAndReadsJsonWithTheToken() throws Exception {
    try (FakeBerth berth = new FakeBerth()) {
      CompletableFuture<JsonNode> f = call(api(berth.url()));
      FakeBerth.Request r = berth.next();
      assertEquals("PUT", r.method);
      assertEquals("/x", r.path);
      assertEquals("Bearer " + TOKEN, r.token);
      assertEquals("ü", r.body.path("a").asText());
      r.ok("{'protocol':1,'unknown':{'x':[1]},'b':2}");
      assertEquals(2, f.get().path("b").asInt());
    }
  }

  @ParameterizedTest
  @CsvSource({
    "400,body.invalid,REFUSED", "413,body.tooLarge,REFUSED", "415,x,REFUSED", "422,spec.invalid,REFUSED", "400,'',UNAVAILABLE",
    "401,auth.missing,UNAUTHORIZED", "403,'',UNAUTHORIZED",
    "404,spark.unknown,UNKNOWN", "404,not.found,UNAVAILABLE", "404,'',UNAVAILABLE",
    "409,spark.superseded,SUPERSEDED", "409,conflict,UNAVAILABLE",
    "410,spark.ended,ENDED", "410,'',UNAVAILABLE", "410,events.gone,UNAVAILABLE",
    "429,rate.limited,UNAVAILABLE", "500,internal,UNAVAILABLE", "503,not.leader,UNAVAILABLE", "302,'',UNAVAILABLE", "204,'',UNAVAILABLE",
  })
  void answersAreToldApart(int status, String code, ApiException.Kind kind) throws Exception {
    try (FakeBerth berth = new FakeBerth()) {
      CompletableFuture<JsonNode> f = call(api(berth.url()));
      if (code.isEmpty()) {
        berth.next().answer(status, status == 204 ? "" : "<html>some proxy</html>");
      } else {
        berth.next().problem(status, code);
      }
      assertEquals(kind, failure(f).kind);
    }
  }

  @Test
  void whatABerthRefusesNamesTheReason() throws Exception {
    try (FakeBerth berth = new FakeBerth()) {
      CompletableFuture<JsonNode> f = call(api(berth.url()));
      berth.next().answer(422, "{'code':'spec.invalid','detail':'no','fields':[{'field':'driverPort','message':'is 0'}]}");
      String message = failure(f).getMessage();
      assertTrue(message.contains("no; driverPort: is 0"), message);
    }
  }

  @Test
  void triesEveryAddressOnceAndStaysWithTheOneThatAnswered() throws Exception {
    try (FakeBerth follower = new FakeBerth(); FakeBerth leader = new FakeBerth()) {
      Api api = api(closedAddress(), follower.url(), leader.url());
      CompletableFuture<JsonNode> f = call(api);
      follower.next().header("Retry-After", "7").problem(503, "not.leader");
      leader.next().ok("{}");
      f.get();
      assertEquals(leader.url(), api.address());

      f = call(api);
      leader.next().header("Retry-After", "3").problem(503, "not.leader");
      follower.next().header("Retry-After", "9000").problem(503, "not.leader");
      assertEquals(60_000, failure(f).retryAfterMs, "what all addresses said, bounded");

      f = call(api);
      leader.next().drop();
      leader.next().drop(); // Java's client repeats a request once whose connection ended without an answer
      follower.next().ok("{}");
      f.get();
      assertEquals(follower.url(), api.address());
    }
  }

  @Test
  void followsARedirectToTheLeaderAndStaysThereUntilItFails() throws Exception {
    try (FakeBerth follower = new FakeBerth(); FakeBerth leader = new FakeBerth()) {
      Api api = api(follower.url());
      CompletableFuture<JsonNode> f = call(api);
      follower.next().header("Location", leader.url() + "/x").answer(307, "");
      FakeBerth.Request r = leader.next();
      assertEquals("PUT", r.method);
      assertEquals("ü", r.body.path("a").asText());
      assertEquals("Bearer " + TOKEN, r.token);
      r.ok("{}");
      f.get();
      assertEquals(leader.url(), api.address());

      f = call(api);
      leader.next().problem(503, "unavailable");
      follower.next().problem(503, "not.leader");
      failure(f);
      assertEquals(follower.url(), api.address(), "one that was only redirected to is not asked first again");
    }
  }

  @Test
  void redirectsThatLeadNowhereSafe() throws Exception {
    try (FakeBerth berth = new FakeBerth()) {
      for (String to : new String[] {"ftp://a/x", berth.url() + "/x"}) {
        CompletableFuture<JsonNode> f = call(api(berth.url()));
        for (int i = 0; i < (to.startsWith("ftp") ? 1 : 4); i++) {
          berth.next().header("Location", to).answer(307, "");
        }
        assertEquals(ApiException.Kind.UNAVAILABLE, failure(f).kind, to);
      }
      CompletableFuture<JsonNode> f = call(api(berth.url()));
      berth.next().answer(307, "");
      assertTrue(failure(f).getMessage().contains("nowhere"));
      assertEquals(0, berth.waiting());
    }
  }

  @Test
  void answersThatAreNoJsonObjectOrTooLarge() throws Exception {
    try (FakeBerth berth = new FakeBerth()) {
      char[] large = new char[Api.MAX_BODY];
      Arrays.fill(large, 'x');
      for (String body : new String[] {"", "[]", "{", "<html>", "{\"a\":\"" + new String(large) + "\"}"}) {
        CompletableFuture<JsonNode> f = call(api(berth.url()));
        berth.next().ok(body);
        assertEquals(ApiException.Kind.UNAVAILABLE, failure(f).kind);
      }
    }
  }

  @Test
  void requestsThatAreTooLargeAreNotSent() throws Exception {
    try (FakeBerth berth = new FakeBerth()) {
      char[] large = new char[Api.MAX_BODY];
      Arrays.fill(large, 'x');
      ObjectNode body = JsonNodeFactory.instance.objectNode().put("a", new String(large));
      ApiException e = assertThrows(ApiException.class, () -> api(berth.url()).call("PUT", "/x", body, 1_000));
      assertEquals(ApiException.Kind.REFUSED, e.kind);
      assertEquals(0, berth.waiting());
    }
  }

  @Test
  void aSilentServerAndOneThatDripsAreGivenUp() throws Exception {
    try (FakeBerth berth = new FakeBerth()) {
      CompletableFuture<JsonNode> f = call(api(berth.url()), 100);
      FakeBerth.Request held = berth.next();
      assertEquals(ApiException.Kind.UNAVAILABLE, failure(f).kind);
      held.drop();
    }
    try (ServerSocket drip = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      CompletableFuture<JsonNode> f = call(api("http://127.0.0.1:" + drip.getLocalPort()), 200);
      try (Socket s = drip.accept()) {
        s.getOutputStream().write("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n".getBytes());
        while (!f.isDone()) {
          s.getOutputStream().write(' '); // each byte comes in time
          s.getOutputStream().flush();
        }
      } catch (java.net.SocketException e) {
        // the client has closed the connection
      }
      String message = failure(f).getMessage();
      // On a busy machine single bytes may be late after all.
      assertTrue(message.contains("too long") || message.contains("timed out"), message);
    }
  }

  @Test
  void closingCutsOffWhatIsUnderWay() throws Exception {
    try (FakeBerth berth = new FakeBerth()) {
      Api api = api(berth.url());
      CompletableFuture<JsonNode> f = call(api, 60_000);
      FakeBerth.Request held = berth.next();
      api.close();
      failure(f);
      failure(call(api));
      held.drop();
    }
  }

  @Test
  void tlsWithTheGivenCertificatesOnly() throws Exception {
    Path mine = certificate("mine");
    Path other = certificate("other");
    HttpsServer server = HttpsServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    server.setHttpsConfigurator(new HttpsConfigurator(keys("mine")));
    try (FakeBerth berth = new FakeBerth(server)) {
      String url = "https://" + berth.authority();
      Path trusted = dir.resolve("trusted.pem");
      Files.copy(mine, trusted);
      Api api = new Api(Collections.singletonList(url), TokenSource.ofValue(TOKEN), Trust.of(trusted.toString()));
      CompletableFuture<JsonNode> f = call(api);
      berth.next().ok("{'a':1}");
      assertEquals(1, f.get().path("a").asInt());

      f = call(api);
      berth.next().header("Location", "http://" + berth.authority() + "/x").answer(307, "");
      assertTrue(failure(f).getMessage().contains("not be safe"), "never from https to http");

      failure(call(new Api(Collections.singletonList(url), TokenSource.ofValue(TOKEN), Trust.of(other.toString()))));
      failure(call(api(url)));
      // The host must be the certificate's: localhost is not named in it.
      failure(call(new Api(Collections.singletonList(url.replace("127.0.0.1", "localhost")), TokenSource.ofValue(TOKEN),
          Trust.of(trusted.toString()))));
    }
    Path empty = Files.createFile(dir.resolve("empty.pem"));
    assertThrows(IllegalStateException.class, () -> Trust.of(empty.toString()));
    assertThrows(IllegalStateException.class, () -> Trust.of(dir.resolve("none.pem").toString()));
  }

  private Path certificate(String name) throws Exception {
    String keytool = Paths.get(System.getProperty("java.home"), "bin", "keytool").toString();
    Path pem = dir.resolve(name + ".pem");
    run(keytool, "-genkeypair", "-alias", "k", "-keyalg", "EC", "-dname", "CN=" + name, "-ext", "san=ip:127.0.0.1", "-validity", "2",
        "-storetype", "PKCS12", "-keystore", dir.resolve(name + ".p12").toString(), "-storepass", "changeit");
    run(keytool, "-exportcert", "-rfc", "-alias", "k", "-keystore", dir.resolve(name + ".p12").toString(), "-storepass", "changeit",
        "-file", pem.toString());
    return pem;
  }

  private static void run(String... command) throws Exception {
    Process p = new ProcessBuilder(command).redirectErrorStream(true).start();
    StringBuilder out = new StringBuilder();
    try (InputStream in = p.getInputStream()) {
      for (int c = in.read(); c >= 0; c = in.read()) {
        out.append((char) c);
      }
    }
    assertEquals(0, p.waitFor(), out.toString());
  }

  private SSLContext keys(String name) throws Exception {
    KeyStore store = KeyStore.getInstance("PKCS12");
    try (InputStream in = Files.newInputStream(dir.resolve(name + ".p12"))) {
      store.load(in, "changeit".toCharArray());
    }
    KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
    keys.init(store, "changeit".toCharArray());
    SSLContext c = SSLContext.getInstance("TLS");
    c.init(keys.getKeyManagers(), null, null);
    return c;
  }
}
