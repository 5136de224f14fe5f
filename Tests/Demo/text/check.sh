#!/bin/sh
# Checks the demo's text against what SOURCES.md and the demo rely on. Exit 1 with the reason when something does not hold.
# Usage: check.sh [messages.txt]
set -u
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
file=${1:-$here/messages.txt}
[ -r "$file" ] || { echo "check.sh: cannot read $file" >&2; exit 1; }

exec perl - "$file" "$here" <<'PERL'
use strict;
use warnings;
use Encode qw(decode FB_CROAK);

my ($file, $here) = @ARGV;
my @problems;
my $problem = sub { push @problems, $_[0] if @problems < 20 };

open my $in, '<:raw', $file or die "check.sh: $file: $!\n";
my (%seen, %script, %feature);
my ($lines, $long, $over_kilobyte) = (0, 0, 0);
my $ended = 1;
while (my $bytes = <$in>) {
    $lines++;
    $ended = chomp $bytes;
    my $length = length $bytes;
    $problem->("line $lines is empty") if $length == 0;
    $problem->("line $lines has $length bytes, more than 4000") if $length > 4000;
    my $text = eval { my $copy = $bytes; decode('UTF-8', $copy, FB_CROAK) };
    if (!defined $text) { $problem->("line $lines is not UTF-8"); next }
    $problem->("line $lines begins or ends with white space") if $text =~ /^\s|\s$/;
    $problem->("line $lines has a control character") if $text =~ /\p{Cc}/;
    if ($length > 24) {
        $long++;
        $problem->("line $lines repeats line $seen{$bytes}") if exists $seen{$bytes};
        $seen{$bytes} = $lines;
    }
    $over_kilobyte++ if $length > 1024;
    for my $name (qw(Latin Cyrillic Greek Arabic Hebrew Devanagari Han Hiragana Katakana Hangul Thai Georgian Tamil Telugu Gujarati Bengali
        Malayalam Sinhala Khmer)) {
        my $letters = () = $text =~ /(?:(?=\p{Script=$name})\p{L})/g;
        $script{$name}++ if $letters >= 10;
    }
    $feature{'Latin letters with diacritics'}++ if $text =~ /(?=[^\x00-\x7f])\p{Latin}/;
    $feature{'combining marks behind Latin letters'}++ if $text =~ /\p{Latin}[\x{300}-\x{36f}]/;
    $feature{'emoji joined by ZWJ'}++ if $text =~ /[\x{1f300}-\x{1faff}]\x{fe0f}?\x{200d}/;
    $feature{'emoji with a skin tone'}++ if $text =~ /[\x{1f3fb}-\x{1f3ff}]/;
    $feature{'flags'}++ if $text =~ /[\x{1f1e6}-\x{1f1ff}]{2}/;
    $feature{'directional marks'}++ if $text =~ /[\x{200e}\x{200f}\x{061c}\x{202a}-\x{202e}\x{2066}-\x{2069}]/;
    $feature{'code points beyond the first plane'}++ if $text =~ /[\x{10000}-\x{10ffff}]/;
}
close $in;
$problem->('the last line has no newline') if !$ended;
$problem->("only $lines lines, 1000 are needed") if $lines < 1000;
$problem->("only $long unique lines above 24 bytes, 900 are needed") if $long < 900;
$problem->('no line above 1 KiB') if !$over_kilobyte;
my %at_least = (Georgian => 5, Hiragana => 20, Katakana => 10);
for my $name (qw(Latin Cyrillic Greek Arabic Hebrew Devanagari Han Hiragana Katakana Hangul Thai Georgian Tamil)) {
    my $needed = $at_least{$name} // 30;
    my $found = $script{$name} // 0;
    $problem->("$name: $found lines, $needed are needed") if $found < $needed;
}
for my $name ('Latin letters with diacritics', 'combining marks behind Latin letters', 'emoji joined by ZWJ', 'emoji with a skin tone', 'flags',
    'directional marks', 'code points beyond the first plane') {
    $problem->("no line with $name") if !$feature{$name};
}

# Every line has exactly one source, and every licence that SOURCES.md names has its text.
if ($file eq "$here/messages.txt") {
    open my $sources, '<', "$here/sources.tsv" or die "check.sh: sources.tsv: $!\n";
    my $next = 1;
    while (<$sources>) {
        my ($first, $last) = split /\t/;
        $problem->("sources.tsv: lines from $next on have no source, or two") if $first != $next;
        $next = $last + 1;
    }
    $problem->('sources.tsv ends at line ' . ($next - 1) . ", the text at line $lines") if $next != $lines + 1;
    for my $licence (qw(CC-BY-SA-3.0 CC0-1.0 GPL-2 GPL-3 MPL-2.0 BSD-2-Clause)) {
        $problem->("licences/$licence.txt is missing") if !-s "$here/licences/$licence.txt";
    }
}

if (@problems) {
    print STDERR "check.sh: $_\n" for @problems;
    exit 1;
}
printf "%d messages, %d bytes; %d unique above 24 bytes, %d above 1 KiB\n", $lines, -s $file, $long, $over_kilobyte;
print 'scripts: ', join(', ', map {"$_ $script{$_}"} sort { $script{$b} <=> $script{$a} || $a cmp $b } keys %script), "\n";
PERL
