export const texts = {
  en: {
    'source.files': 'Files',
    'source.code': 'The text of the file',
    'source.raw': 'As a file',
    'source.none': ({ page }: { page: string }) => `There is no page “${page}”.`,
    'source.away': 'The file cannot be had: the server does not answer.',
  },
  zh: {
    'source.files': '文件',
    'source.code': '文件内容',
    'source.raw': '原始文件',
    'source.none': ({ page }: { page: string }) => `没有页面“${page}”。`,
    'source.away': '无法取得文件：服务器没有回应。',
  },
};
