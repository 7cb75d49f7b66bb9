package com.berthdata.berth.spark;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.attribute.PosixFilePermission;
import java.util.EnumSet;
import java.util.Set;

/** The token of this application. It is never logged, also not as part of an error. */
final class TokenSource {
  private static final int MAX_TOKEN = 4096;
  private static final Set<PosixFilePermission> OWNER =
      EnumSet.of(PosixFilePermission.OWNER_READ, PosixFilePermission.OWNER_WRITE, PosixFilePermission.OWNER_EXECUTE);

  private final Path file; // null: a fixed value
  private volatile String last;

  private TokenSource(Path file, String value) {
    this.file = file;
    this.last = value;
  }

  static TokenSource ofValue(String token) {
    return new TokenSource(null, checked(token, Identity.TOKEN));
  }

  /** Fails when the file cannot be read now, or can be read by others. */
  static TokenSource ofFile(String name) {
    Path path = Paths.get(name);
    try {
      return new TokenSource(path, read(path));
    } catch (IOException e) {
      throw new IllegalStateException("read the token: " + Identity.TOKEN_FILE + "=" + name + ": " + e, e);
    }
  }

  /** The present token: the file's, or what it was when it could last be read. */
  String current() {
    if (file != null) {
      try {
        last = read(file);
      } catch (IOException | IllegalStateException e) {
        // It may be in the middle of being replaced; a token that is out of date is refused by Berth.
      }
    }
    return last;
  }

  private static String read(Path path) throws IOException {
    // Not every file has a FileStore: Berth's executor hands over one in memory.
    if (!OWNER.containsAll(Files.getPosixFilePermissions(path))) {
      throw new IllegalStateException(path + " can be read by other users than its owner: set its mode to 0600");
    }
    if (Files.size(path) > 2 * MAX_TOKEN) {
      throw new IllegalStateException(path + " is too large for a token");
    }
    return checked(new String(Files.readAllBytes(path), StandardCharsets.US_ASCII).trim(), path.toString());
  }

  private static String checked(String token, String where) {
    boolean visible = !token.isEmpty() && token.length() <= MAX_TOKEN;
    for (int i = 0; visible && i < token.length(); i++) {
      visible = token.charAt(i) > ' ' && token.charAt(i) < 0x7f;
    }
    if (!visible) {
      throw new IllegalStateException(where + ": no token: want 1 to " + MAX_TOKEN + " visible ASCII characters");
    }
    return token;
  }
}
