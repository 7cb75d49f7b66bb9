package com.berthdata.berth.spark;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.Proxy;
import java.net.URI;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import javax.net.ssl.HttpsURLConnection;

/**
 * Calls of Berth's API over several addresses. It stays with the address that answered last; when one
 * fails it tries each of the others once. Waiting between such rounds is the caller's.
 *
 * <p>HttpURLConnection, since java.net.http came after Java 8. Safe for use by several threads.
 */
final class Api {
  static final int MAX_BODY = 1 << 20;
  private static final int CONNECT_MS = 5_000;
  private static final int MAX_REDIRECTS = 3;
  private static final long MAX_RETRY_AFTER_S = 60;
  private static final int MAX_DETAIL = 1_000;
  private static final ObjectMapper JSON = new ObjectMapper();

  private final List<String> addresses;
  private final TokenSource token;
  private final Trust trust;
  private final Set<HttpURLConnection> open = ConcurrentHashMap.newKeySet();
  private volatile String current;
  private volatile boolean closed;

  Api(List<String> addresses, TokenSource token, Trust trust) {
    this.addresses = new ArrayList<>(addresses);
    this.token = token;
    this.trust = trust;
    this.current = addresses.get(0);
  }

  /** The address that answered last. */
  String address() {
    return current;
  }

  /** Cuts off what is under way and refuses what comes. */
  void close() {
    closed = true;
    for (HttpURLConnection c : open) {
      c.disconnect();
    }
  }

  /** Sends body and returns the answer's document; answerMs bounds the wait for it at each address. */
  JsonNode call(String method, String path, ObjectNode body, long answerMs) throws ApiException {
    byte[] bytes = encode(body);
    ApiException last = null;
    for (String address : round()) {
      try {
        return at(address, method, path, bytes, answerMs);
      } catch (ApiException e) {
        // What Berth itself has said holds for all addresses.
        if (e.kind != ApiException.Kind.UNAVAILABLE) {
          throw e;
        }
        if (last == null || e.retryAfterMs > last.retryAfterMs) {
          last = e;
        }
        if (address.equals(current) && !addresses.contains(address)) {
          current = addresses.get(0); // a leader that a redirect named, and that is not one any more
        }
      }
    }
    throw last;
  }

  private static byte[] encode(ObjectNode body) throws ApiException {
    byte[] bytes;
    try {
      bytes = JSON.writeValueAsBytes(body);
    } catch (JsonProcessingException e) {
      throw new ApiException(ApiException.Kind.REFUSED, "cannot be written as JSON: " + e.getMessage(), 0);
    }
    if (bytes.length > MAX_BODY) {
      throw new ApiException(ApiException.Kind.REFUSED, "the request has " + bytes.length + " bytes, more than " + MAX_BODY
          + ": look for long lists or options in the configuration", 0);
    }
    return bytes;
  }

  /** The present address, which may be one that a redirect named, and then the others in their order. */
  private List<String> round() {
    String first = current;
    List<String> out = new ArrayList<>();
    out.add(first);
    int at = addresses.indexOf(first);
    for (int i = 1; i <= addresses.size(); i++) {
      String next = addresses.get((at + i) % addresses.size());
      if (!out.contains(next)) {
        out.add(next);
      }
    }
    return out;
  }

  private JsonNode at(String address, String method, String path, byte[] body, long answerMs) throws ApiException {
    String url = address + path;
    try {
      for (int hop = 0; hop <= MAX_REDIRECTS; hop++) {
        Answer a = exchange(method, url, body, answerMs);
        if (a.status != 307 && a.status != 308) {
          JsonNode answer = judge(a, url);
          current = baseOf(url);
          return answer;
        }
        url = redirected(url, a.location);
      }
      throw unavailable(address + path + " redirects more than " + MAX_REDIRECTS + " times");
    } catch (IOException | RuntimeException e) {
      // Java's message of a failed connection names neither host nor port.
      throw unavailable(url + ": " + e);
    }
  }

  private static String redirected(String from, String location) throws IOException {
    if (location == null) {
      throw new IOException("redirected to nowhere");
    }
    String to = URI.create(from).resolve(location).toString();
    boolean web = to.startsWith("http://") || to.startsWith("https://");
    if (!web || from.startsWith("https://") && !to.startsWith("https://")) {
      throw new IOException("redirected to " + to + ", where the token would not be safe");
    }
    return to;
  }

  private static String baseOf(String url) {
    URI u = URI.create(url);
    return u.getScheme() + "://" + u.getRawAuthority();
  }

  private static final class Answer {
    int status;
    String location;
    long retryAfterMs;
    byte[] body;
  }

  private Answer exchange(String method, String url, byte[] body, long answerMs) throws IOException {
    // Berth is inside; a proxy that the program is configured with is for the outside.
    HttpURLConnection c = (HttpURLConnection) new URL(url).openConnection(Proxy.NO_PROXY);
    open.add(c);
    try {
      if (closed) {
        throw new IOException("closed");
      }
      if (c instanceof HttpsURLConnection) {
        trust.apply((HttpsURLConnection) c);
      }
      long deadline = System.nanoTime() + answerMs * 1_000_000;
      c.setConnectTimeout(CONNECT_MS);
      c.setReadTimeout((int) answerMs);
      c.setInstanceFollowRedirects(false);
      c.setUseCaches(false);
      c.setRequestMethod(method);
      c.setDoOutput(true);
      c.setRequestProperty("Content-Type", "application/json");
      c.setRequestProperty("Accept", "application/json, application/problem+json");
      c.setRequestProperty("Authorization", "Bearer " + token.current());
      try (OutputStream out = c.getOutputStream()) {
        out.write(body);
      }
      Answer a = new Answer();
      a.status = c.getResponseCode();
      a.location = c.getHeaderField("Location");
      a.retryAfterMs = retryAfter(c.getHeaderField("Retry-After"));
      a.body = read(a.status < 400 ? c.getInputStream() : c.getErrorStream(), deadline);
      return a;
    } finally {
      open.remove(c);
    }
  }

  private static byte[] read(InputStream in, long deadline) throws IOException {
    if (in == null) {
      return new byte[0];
    }
    try (InputStream body = in) {
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      byte[] buffer = new byte[8192];
      for (int n = body.read(buffer); n >= 0; n = body.read(buffer)) {
        out.write(buffer, 0, n);
        if (out.size() > MAX_BODY) {
          throw new IOException("its answer has more than " + MAX_BODY + " bytes");
        }
        // The read timeout is one of each read: a server that drips would hold us for ever.
        if (System.nanoTime() > deadline) {
          throw new IOException("its answer took too long");
        }
      }
      return out.toByteArray();
    }
  }

  private static long retryAfter(String header) {
    try {
      return header == null ? 0 : 1000 * Math.max(0, Math.min(MAX_RETRY_AFTER_S, Long.parseLong(header.trim())));
    } catch (NumberFormatException e) {
      return 0; // a date: the back-off serves
    }
  }

  private static JsonNode judge(Answer a, String url) throws ApiException, IOException {
    if (a.status == 200) {
      JsonNode answer = JSON.readTree(a.body);
      if (answer == null || !answer.isObject()) {
        throw new IOException("its answer is no JSON object");
      }
      return answer;
    }
    JsonNode problem = problem(a.body);
    String code = problem.path("code").asText("");
    String said = url + ": " + a.status + " " + code + ": " + detail(problem, a.body);
    throw new ApiException(kind(a.status, code), said, a.retryAfterMs);
  }

  /**
   * Only a problem document of Berth's own has a code. Without one the answer may be that of a proxy,
   * or of whatever listens at the address now, and decides nothing.
   */
  private static ApiException.Kind kind(int status, String code) {
    switch (status) {
      case 401:
      case 403:
        return ApiException.Kind.UNAUTHORIZED;
      case 404:
        return code.equals("spark.unknown") ? ApiException.Kind.UNKNOWN : ApiException.Kind.UNAVAILABLE;
      case 409:
        return code.equals("spark.superseded") ? ApiException.Kind.SUPERSEDED : ApiException.Kind.UNAVAILABLE;
      case 410:
        return code.equals("spark.ended") ? ApiException.Kind.ENDED : ApiException.Kind.UNAVAILABLE;
      case 400:
      case 413:
      case 415:
      case 422:
        return code.isEmpty() ? ApiException.Kind.UNAVAILABLE : ApiException.Kind.REFUSED;
      default:
        return ApiException.Kind.UNAVAILABLE;
    }
  }

  private static JsonNode problem(byte[] body) {
    try {
      JsonNode n = JSON.readTree(body);
      return n == null ? JSON.createObjectNode() : n;
    } catch (IOException e) {
      return JSON.createObjectNode();
    }
  }

  private static String detail(JsonNode problem, byte[] body) {
    String text = problem.path("detail").asText(problem.path("title").asText(""));
    if (text.isEmpty()) {
      text = new String(body, StandardCharsets.UTF_8).trim();
    }
    StringBuilder out = new StringBuilder(text);
    for (JsonNode f : problem.path("fields")) {
      out.append("; ").append(f.path("field").asText("")).append(": ").append(f.path("message").asText(""));
    }
    return Messages.cut(out.toString(), MAX_DETAIL);
  }

  private static ApiException unavailable(String message) {
    return new ApiException(ApiException.Kind.UNAVAILABLE, message, 0);
  }
}
