import { describe, expect, it } from 'vitest';
import { savedNics, withoutDisks, withoutMacs } from '../../../src/sessions/restore/restoreOvf.ts';

const NAMESPACES =
  'xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1/" xmlns:rasd="http://schemas.dmtf.org/rasd" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"';

function envelope(content: string): string {
  return `<?xml version="1.0" encoding="UTF-8"?><ovf:Envelope ${NAMESPACES}>${content}</ovf:Envelope>`;
}

function item(type: number, content = ''): string {
  return `<Item><rasd:ResourceType>${type}</rasd:ResourceType>${content}</Item>`;
}

function hardware(...items: readonly string[]): string {
  return `<Content ovf:id="out"><Section xsi:type="ovf:VirtualHardwareSection_Type">${items.join('')}</Section></Content>`;
}

function externalData(kind: string): string {
  return `<VmExternalDataItem kind="${kind}"><VmExternalDataContent>QUFB\nQ+/=\n</VmExternalDataContent></VmExternalDataItem>`;
}

describe('a configuration without its disks', () => {
  it('has no files, disks and snapshots any more', () => {
    const ovf = envelope(
      '<References><File ovf:href="d1/v1" ovf:id="v1"/><Nic ovf:id="n"/></References>' +
        '<Section xsi:type="ovf:DiskSection_Type"><Disk ovf:diskId="v1"/></Section>' +
        '<Content><Section xsi:type="ovf:SnapshotsSection_Type"><Snapshot ovf:id="s1"/></Section></Content>',
    );

    expect(withoutDisks(ovf)).toBe(
      envelope('<References><Nic ovf:id="n"/></References><Content/>'),
    );
  });

  it('keeps namespaces, other sections and items of other types as they are', () => {
    const kept = [item(3, '<rasd:num_of_sockets>02</rasd:num_of_sockets>'), item(10), item(171)];
    const os =
      '<Section ovf:id="vm-1" xsi:type="ovf:OperatingSystemSection_Type"><Info/></Section>';
    const disk = item(17, '<rasd:InstanceId>v1</rasd:InstanceId>');

    const actual = withoutDisks(envelope(os + hardware(...kept, disk)));

    expect(actual).toBe(envelope(os + hardware(...kept)));
  });

  it.each([
    ['names without a prefix', 'Item', 'ResourceType'],
    ['other prefixes', 'o:Item', 'r:ResourceType'],
  ])('has no disk items with %s', (_title, tag, type) => {
    const disk = `<${tag}><${type}> 17 </${type}></${tag}>`;

    expect(withoutDisks(envelope(hardware(disk, item(10))))).toBe(envelope(hardware(item(10))));
  });

  it('has no quota any more', () => {
    const ovf = envelope('<Content><Name>web01</Name><quota_id>7e3c</quota_id></Content>');

    expect(withoutDisks(ovf)).toBe(envelope('<Content><Name>web01</Name></Content>'));
  });

  it('keeps UEFI variables and TPM data byte for byte', () => {
    const section = `<Section xsi:type="ovf:VmExternalDataSection_Type">${externalData('nvram')}${externalData('tpm')}</Section>`;
    const ovf = envelope(
      `<Content><BiosType>4</BiosType>${section}${hardware(item(10))}</Content>`,
    );

    expect(withoutDisks(ovf)).toBe(ovf);
    expect(withoutMacs(ovf)).toBe(ovf);
  });

  it('keeps text with escapes, spaces, and digits as it is', () => {
    const ovf = envelope(
      '<Content a="&lt;1 &quot;x&quot; &amp;amp;"><Name> a &amp;lt; b &#13; </Name><Version>4.0</Version></Content>',
    );

    expect(withoutDisks(ovf)).toBe(ovf);
  });

  it.each([
    ['no XML', 'not an OVF'],
    ['nothing', ''],
    ['another document', '<html/>'],
    ['a cut document', envelope('<Content/>').slice(0, -5)],
    ['an instruction without its end', `<?xml version="1.0" a"?>${envelope('').slice(38)}`],
    ['elements without end', envelope(`${'<a>'.repeat(20_000)}${'</a>'.repeat(20_000)}`)],
    ['a document type', `<!DOCTYPE x [<!ENTITY a "b">]>${envelope('<Name>&a;</Name>').slice(38)}`],
  ])('is none of %s', (_title, text) => {
    expect(withoutDisks(text)).toBeUndefined();
  });
});

describe('the network cards of a configuration', () => {
  const nic = (name: string, mac: string): string =>
    item(10, `<rasd:Name>${name}</rasd:Name>${mac}`);
  const card = '<rasd:MACAddress>56:6f:1a:00:00:01</rasd:MACAddress>';
  const other = item(5, '<rasd:MACAddress>kept</rasd:MACAddress>');
  const ovf = envelope(hardware(nic('nic1', card), nic('nic2', ''), other));

  it('are read with their MAC addresses', () => {
    expect(savedNics(ovf)).toEqual([{ name: 'nic1', mac: '56:6f:1a:00:00:01' }]);
    expect(savedNics('no OVF')).toEqual([]);
  });

  it('lose only these', () => {
    const actual = withoutMacs(ovf);

    expect(actual).toBe(envelope(hardware(nic('nic1', ''), nic('nic2', ''), other)));
    expect(withoutMacs('no OVF')).toBeUndefined();
  });
});
